"""Sensors at equal budget."""

_base_ = ["./_base_/town.py"]

title = "Cameras, LiDAR and both on the synthetic town's held-out streets, trained for the same number of iterations."
seeds = [0]
rows = [
    dict(name="camera", config=_base_.camera, options={}),
    dict(name="lidar", config=_base_.lidar, options={}),
    dict(name="camera + lidar", config=_base_.fused, options={}),
]
