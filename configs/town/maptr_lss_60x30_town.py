"""Cameras alone on the synthetic town, 60 m x 30 m; LiDAR teaches depth in training and is not seen by the model."""

_base_ = ["./maptr_lss-pillars_60x30_town.py"]

truth = _base_.truth
depth = [dict(type="LidarDepth", stride=8, keep_points=False)]
pack = [dict(type="PackMapInputs")]

model = dict(lidar=None)
train_dataloader = dict(
    dataset=dict(pipeline=_base_.augment + _base_.train_cameras + _base_.lidar + truth + depth + pack)
)
val_dataloader = dict(dataset=dict(pipeline=_base_.test_cameras + truth + pack))
test_dataloader = val_dataloader
test_evaluator = dict(_delete_=True, type="MapMetric", protocol="maptr")  # no LiDAR here to tell what is hidden
