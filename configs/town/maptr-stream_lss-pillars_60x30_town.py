"""Cameras and LiDAR with a recurrent BEV map, on the synthetic town, 60 m x 30 m: two clips of three frames a step."""

_base_ = ["./maptr_lss-pillars_60x30_town.py"]

model = dict(temporal=dict(type="StreamingBEV"))
train_dataloader = dict(batch_size=6, sampler=dict(type="ClipSampler", clip_length=3))
train_cfg = dict(max_iters=360, val_interval=360)  # as many frames as the single-frame config sees
val_cfg = dict(type="StreamValLoop")
test_cfg = dict(type="StreamTestLoop")
