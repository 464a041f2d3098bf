"""What the fast ops save in training."""

_base_ = ["./_base_/town.py"]

title = (
    "One training step of the demo's model, the ops in turn on one batch in one run: medians of seven, milliseconds."
)
seeds = [0]
columns = {"_delete_": True, "ms/auto": "auto", "ms/torch": "torch", "ms/reference": "reference", "speedup": "speed-up"}
rows = [dict(name="camera + lidar", command=f"tools/time_step.py {_base_.fused} --out {{out}}")]
