"""Cameras by lift-splat and LiDAR by pillars, concatenated; MapTR queries from BEV proposals. Sized for two CPU cores.

A config adds ``grid``, ``cell_m`` and ``num_classes``, and drops a sensor by ``camera=None`` or ``lidar=None``.
"""

model = dict(
    type="Mapper",
    camera=dict(
        type="LSSEncoder",
        backbone=dict(
            type="TimmBackbone",
            name="resnet18",
            out_indices=(2, 3),
            kwargs=dict(channels=(16, 32, 64, 128), stem_type="deep", stem_width=8),
        ),
        channels=32,
        neck_channels=48,
        depth_range_m=(1.0, 41.0, 1.0),
    ),
    lidar=dict(type="DynamicPillars", channels=40, pillar_channels=16),
    fusion=dict(type="ConcatFusion", channels=40),
    bev_encoder=dict(type="BEVUNet", channels=(40, 80, 128, 128), depths=(0, 2, 2, 2)),
    segmentation=dict(type="BEVSegmentation"),
    decoder=dict(
        type="MapTRDecoder",
        num_points=20,
        num_queries=40,
        embed_dims=80,
        num_layers=2,
        denoising=dict(num_groups=1),
    ),
)
