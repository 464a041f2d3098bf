"""VectorMapNet's second stage on nuScenes, 10 epochs; give the first by --load-from. Not trained here (docs/GPU_STATUS.md)."""

_base_ = ["./vectormapnet_r50-lss-pillars_60x30_110e_nus.py"]

model = dict(decoder=dict(condition_on="detections"))
optim_wrapper = dict(optimizer=dict(lr=1e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=400),
    dict(type="CosineAnnealingLR", eta_min_ratio=0.01, by_epoch=False, begin=400),
]
train_cfg = dict(max_iters=70300, val_interval=35150)
