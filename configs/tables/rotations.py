"""How to write a rotation for a network."""

_base_ = ["./_base_/town_localisation.py"]

title = (
    "Rotation representations at equal budget: the same network and loss (mean absolute error of the rotation matrix), "
    "median errors on held-out drives over the training streets of the synthetic town after 400 steps of 48 frames."
)
seeds = [0, 1, 2]
budget = {"train_cfg.max_iters": 400, "train_cfg.val_interval": 400}
columns = {
    "pose/rotation_deg": "rotation, deg",
    "pose/mean_rotation_deg": "mean, deg",
    "pose/translation_m": "translation, m",
    "train/minutes": "minutes",
}
rows = [
    dict(name="6-D", config=_base_.posenet, options=budget),
    dict(name="quaternion", config=_base_.posenet, options={**budget, "model.head.rotation": "quaternion"}),
    dict(name="log quaternion", config=_base_.posenet, options={**budget, "model.head.rotation": "log_quaternion"}),
    dict(name="Euler", config=_base_.posenet, options={**budget, "model.head.rotation": "euler"}),
]
