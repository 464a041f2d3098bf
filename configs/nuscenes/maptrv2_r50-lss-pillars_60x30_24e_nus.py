"""MapTRv2, cameras and LiDAR on nuScenes, 60 m x 30 m, 24 epochs at batch 4. Not trained here (docs/GPU_STATUS.md)."""

_base_ = ["./maptr_r50-lss-pillars_60x30_24e_nus.py", "../_base_/models/decoders.py"]

model = dict(
    decoder=dict(_delete_=True, **_base_.maptrv2),
    perspective=dict(**_base_.perspective, image_channels=256),
)
