"""VectorMapNet from cameras and LiDAR on nuScenes, 60 m x 30 m, 110 epochs at batch 4. Not trained here (docs/GPU_STATUS.md)."""

_base_ = ["./maptr_r50-lss-pillars_60x30_24e_nus.py", "../_base_/models/vectormapnet.py"]

model = dict(decoder=dict(_delete_=True, **_base_.vectormapnet))
# The paper's schedule: a tenth of the rate for the image backbone, two steps down near the end.
optim_wrapper = dict(
    optimizer=dict(lr=1e-3),
    clip_grad=dict(max_norm=0.5),
    paramwise_cfg=dict(custom_keys={"camera.backbone": dict(lr_mult=0.1)}),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=400),
    dict(type="MultiStepLR", milestones=[703000, 738150], by_epoch=False),
]
train_cfg = dict(max_iters=773300, val_interval=70300)
