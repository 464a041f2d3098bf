"""Cameras and LiDAR on the synthetic town, lift-splat from real ImageNet features: EfficientNet-Lite0, its first stages frozen."""

_base_ = ["./maptr_lss-pillars_60x30_town.py", "../_base_/models/camera_efficientnet.py"]

model = dict(
    camera=dict(backbone=dict(_delete_=True, **_base_.efficientnet)),
    data_preprocessor=_base_.efficientnet_pixels,
)
optim_wrapper = dict(paramwise_cfg=_base_.efficientnet_rates)
param_scheduler = _base_.efficientnet_schedule
