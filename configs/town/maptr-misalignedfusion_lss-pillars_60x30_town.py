"""Cameras moved against the LiDAR by up to 0.5 m and 1 degree in training, by exactly that in testing; 60 m x 30 m."""

_base_ = ["./maptr-synergyfusion_lss-pillars_60x30_town.py"]

truth, pack = _base_.truth, _base_.pack
train_error = [dict(type="MisalignSensor", sensor="camera", translation_m=0.5, rotation_deg=1.0, exact=False)]
test_error = [dict(type="MisalignSensor", sensor="camera", translation_m=0.5, rotation_deg=1.0)]

model = dict(fusion=dict(alignment=dict(weight=1.0)))
train_dataloader = dict(
    dataset=dict(pipeline=_base_.augment + _base_.train_cameras + _base_.lidar + train_error + truth + pack)
)
val_dataloader = dict(dataset=dict(pipeline=_base_.test_cameras + _base_.lidar + test_error + truth + pack))
test_dataloader = val_dataloader
test_evaluator = [*_base_.test_evaluator, dict(type="AlignmentMetric")]
