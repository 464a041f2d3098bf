"""Camera encoders at equal budget."""

_base_ = ["./_base_/town.py"]

title = (
    "Camera encoders on the synthetic town's held-out streets, cameras alone and fused with LiDAR pillars, all from scratch "
    "(EfficientNet-Lite0 from its ImageNet weights) for the same 300 iterations. Lift-splat alone learns depth from LiDAR."
)
seeds = [0]
budget = {"train_cfg.max_iters": 300, "train_cfg.val_interval": 300}
names = {
    "lss": "lift-splat",
    "ipm": "inverse perspective",
    "bevformer": "BEVFormer",
    "gkt": "GKT",
    "efficientnet-lss": "lift-splat, EfficientNet-Lite0",
}
sensors = {"": "cameras", "-pillars": "cameras + lidar"}
rows = [
    dict(name=f"{name}, {sensed}", config=f"configs/town/maptr_{key}{end}_60x30_town.py", options=budget)
    for end, sensed in sensors.items()
    for key, name in names.items()
]
