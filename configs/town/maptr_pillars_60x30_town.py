"""LiDAR alone on the synthetic town, 60 m x 30 m."""

_base_ = ["./maptr_lss-pillars_60x30_town.py"]

truth = _base_.truth
pack = [dict(type="PackMapInputs")]

model = dict(camera=None)
train_dataloader = dict(dataset=dict(pipeline=_base_.augment + _base_.lidar + truth + pack))
val_dataloader = dict(dataset=dict(pipeline=_base_.lidar + truth + pack))
test_dataloader = val_dataloader
