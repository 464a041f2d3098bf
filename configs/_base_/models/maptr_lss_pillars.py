"""The same architecture at the published systems' size: ResNet-50, 256 BEV channels, six decoder layers."""

_base_ = ["./maptr_lss_pillars_small.py"]

model = dict(
    camera=dict(
        backbone=dict(name="resnet50", kwargs=dict(_delete_=True)),
        channels=128,
        neck_channels=256,
        depth_range_m=(1.0, 60.0, 0.5),
    ),
    lidar=dict(channels=128, pillar_channels=64),
    fusion=dict(channels=128),
    bev_encoder=dict(channels=(128, 192, 256, 256), depths=(1, 2, 2, 2)),
    decoder=dict(num_queries=50, embed_dims=256, num_layers=6, num_heads=8, denoising=dict(num_groups=3)),
)
