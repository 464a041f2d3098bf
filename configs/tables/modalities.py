"""Sensors at equal budget."""

_base_ = ["./_base_/town.py"]

title = "Cameras, LiDAR and both on the synthetic town's held-out streets, trained for the same number of iterations."
seeds = [0]
budget = {"train_cfg.max_iters": 2000}
rows = [
    dict(name="camera", config=_base_.camera, options=budget),
    dict(name="lidar", config=_base_.lidar, options=budget),
    dict(name="camera + lidar", config=_base_.fused, options=budget),
]
