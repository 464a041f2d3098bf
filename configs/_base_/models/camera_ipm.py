"""Inverse perspective mapping (VectorMapNet) instead of lift-splat, at the same size: ``camera=_base_.ipm``."""

ipm = dict(
    type="IPMEncoder",
    backbone=dict(type="TimmBackbone", name="resnet18", out_indices=(2, 3), kwargs=dict(channels=(16, 32, 64, 128))),
    channels=32,
    neck_channels=48,
    heights_m=(-1.1, 0.0, 0.5, 1.1),
)
