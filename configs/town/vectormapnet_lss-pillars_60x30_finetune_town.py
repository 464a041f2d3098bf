"""VectorMapNet's second stage: the generator learns to write from what the detector finds. Give the first by --load-from."""

_base_ = ["./vectormapnet_lss-pillars_60x30_town.py"]

model = dict(decoder=dict(condition_on="detections"))
train_cfg = dict(max_iters=180, val_interval=180)
param_scheduler = dict(eta_max=4e-4)
