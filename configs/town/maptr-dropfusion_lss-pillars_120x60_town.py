"""Sensors dropped by chance in training, on the synthetic town, 120 m x 60 m; ``LoseSensors`` loses them by name in testing."""

_base_ = ["./maptr_lss-pillars_120x60_town.py"]

truth, pack = _base_.truth, [dict(type="PackMapInputs")]
rings = [dict(type="DropRings", frame_prob=0.3, max_fraction=0.5)]
# Depth is measured before sensors are dropped: it teaches the cameras also where the model gets no LiDAR.
depth = [dict(type="LidarDepth", stride=8)]
drop = [dict(type="DropSensors", camera_prob=0.15, all_cameras_prob=0.15, lidar_prob=0.15)]
lose = [dict(type="LoseSensors", cameras=(), lidar=False)]

train_dataloader = dict(
    dataset=dict(pipeline=_base_.augment + _base_.train_cameras + _base_.lidar + rings + truth + depth + drop + pack)
)
val_dataloader = dict(dataset=dict(pipeline=_base_.test_cameras + _base_.lidar + lose + truth + depth + pack))
test_dataloader = val_dataloader
