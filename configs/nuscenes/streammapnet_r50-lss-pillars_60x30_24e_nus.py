"""StreamMapNet, cameras and LiDAR on nuScenes, 60 m x 30 m, 24 epochs in clips of two. Not trained here (docs/GPU_STATUS.md)."""

_base_ = ["./maptr_r50-lss-pillars_60x30_24e_nus.py", "../_base_/models/decoders.py"]

model = dict(temporal=dict(type="StreamingBEV"), decoder=dict(_delete_=True, **_base_.streammapnet))
train_dataloader = dict(sampler=dict(type="ClipSampler", clip_length=2))
val_cfg = dict(type="StreamValLoop")
test_cfg = dict(type="StreamTestLoop")
