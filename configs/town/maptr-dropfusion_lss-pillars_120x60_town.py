"""Sensors dropped by chance in training, on the synthetic town, 120 m x 60 m; ``LoseSensors`` loses them by name in testing."""

_base_ = ["./maptr_lss-pillars_120x60_town.py", "../_base_/datasets/lost_sensors.py"]

truth = _base_.truth + _base_.depth
pack = [dict(type="PackMapInputs")]
train_dataloader = dict(
    dataset=dict(
        pipeline=_base_.augment + _base_.train_cameras + _base_.lidar + _base_.rings + truth + _base_.drop + pack
    )
)
val_dataloader = dict(dataset=dict(pipeline=_base_.test_cameras + _base_.lidar + _base_.lose + truth + pack))
test_dataloader = val_dataloader
