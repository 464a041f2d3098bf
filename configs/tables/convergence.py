"""mAP against minutes: one long run that validates itself."""

_base_ = ["./_base_/town.py"]

title = "The demo's model trained for longer: one run, scored on the held-out streets as it goes."
seeds = [0]
columns = {"iteration": "iteration", **_base_.columns}
rows = [
    dict(
        name="camera + lidar",
        config=_base_.fused,
        options={"train_cfg.max_iters": 2500, "train_cfg.val_interval": 500},
        curve=True,
    )
]
