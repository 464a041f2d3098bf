"""Camera encoders at equal budget."""

_base_ = ["./_base_/town.py"]

title = (
    "Camera encoders on the synthetic town's held-out streets, cameras alone, all from scratch (EfficientNet-Lite0 from its "
    "ImageNet weights) for the same 400 iterations. Lift-splat alone learns depth from LiDAR."
)
seeds = [0]
budget = {"train_cfg.max_iters": 400, "train_cfg.val_interval": 400}
names = {
    "lss": "lift-splat",
    "ipm": "inverse perspective",
    "bevformer": "BEVFormer",
    "gkt": "GKT",
    "efficientnet-lss": "lift-splat, EfficientNet-Lite0",
}
rows = [
    dict(name=name, config=f"configs/town/maptr_{key}_60x30_town.py", options=budget) for key, name in names.items()
]
