"""SuperMapNet, cameras and LiDAR on nuScenes, 60 m x 30 m, 30 epochs at batch 4. Not trained here (docs/GPU_STATUS.md)."""

_base_ = ["./maptr_r50-lss-pillars_60x30_24e_nus.py", "../_base_/models/decoders.py"]

model = dict(
    fusion=dict(
        type="SynergyFusion",
        synergy=dict(embed_dims=256, num_heads=8),
        alignment=dict(channels=128),
    ),
    decoder=dict(_delete_=True, **_base_.supermapnet),
)
# The paper's rates, divided for four GPUs: a quarter of it for the image backbone.
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, weight_decay=1e-4), paramwise_cfg=dict(custom_keys={"camera.backbone": dict(lr_mult=0.25)})
)
param_scheduler = dict(_delete_=True, type="StepLR", step_size=7030, gamma=0.9, by_epoch=False)
train_cfg = dict(max_iters=210900, val_interval=42180)
