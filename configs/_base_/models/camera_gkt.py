"""MapTR's geometry-guided kernel attention instead of lift-splat, at the same size: ``camera=_base_.gkt``."""

gkt = dict(
    type="GKTEncoder",
    backbone=dict(type="TimmBackbone", name="resnet18", out_indices=(2, 3), kwargs=dict(channels=(16, 32, 64, 128))),
    channels=32,
    neck_channels=48,
    heights_m=(0.0, 0.5),
    num_layers=1,
    num_heads=4,
    kernel_size=(3, 3),
    dropout=0.0,
)
