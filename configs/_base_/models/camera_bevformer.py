"""One layer of BEVFormer (as StreamMapNet and MapTracker have it) instead of lift-splat: ``camera=_base_.bevformer``."""

bevformer = dict(
    type="BEVFormerEncoder",
    backbone=dict(type="TimmBackbone", name="resnet18", out_indices=(2, 3), kwargs=dict(channels=(16, 32, 64, 128))),
    neck=dict(type="FeaturePyramid"),
    channels=32,
    neck_channels=48,
    heights_m=(0.0, 0.5, 1.5),
    num_layers=1,
    num_heads=4,
    num_samples=1,
    dropout=0.0,
)
