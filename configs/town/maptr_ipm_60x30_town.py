"""Cameras alone by inverse perspective mapping on the synthetic town, 60 m x 30 m; no LiDAR in training either."""

_base_ = ["./maptr_ipm-pillars_60x30_town.py"]

truth = _base_.truth
pack = [dict(type="PackMapInputs")]

model = dict(lidar=None)
train_dataloader = dict(dataset=dict(pipeline=_base_.augment + _base_.train_cameras + truth + pack))
val_dataloader = dict(dataset=dict(pipeline=_base_.test_cameras + truth + pack))
test_dataloader = val_dataloader
test_evaluator = dict(_delete_=True, type="MapMetric", protocol="maptr")  # no LiDAR here to tell what is hidden
