"""Decoders behind one encoder at one budget."""

_base_ = ["./_base_/encoder.py"]

far = "100x50_town.py"
far_run = "work_dirs/encoder_lss-pillars_100x50_town"
far_options = " ".join(f"{key}={value}" for key, value in _base_.finetune.items())
data = [
    *_base_.data,
    dict(
        command=f"tools/train.py configs/town/maptr_lss-pillars_{far} --work-dir {far_run} --cfg-options {far_options}",
        creates=f"{far_run}/iter_200.pth",
    ),
    dict(
        command=f"tools/export_weights.py {far_run}/iter_200.pth --without decoder. --out {far_run}.safetensors",
        creates=f"{far_run}.safetensors",
    ),
]
title = (
    "Decoders that begin untrained behind one trained encoder, which stays as it is: the demo's shipped one at 60 x 30 m "
    "(250 steps of 4 frames), at 100 x 50 m the same after 200 steps with MapTR there (200 steps). What MapTRv2's auxiliary losses "
    "do for an encoder does not show."
)
seeds = [0]
near_budget = {**_base_.fresh_decoder, "train_cfg.max_iters": 250, "train_cfg.val_interval": 250}
far_budget = {**_base_.fresh_decoder, "load_from": f"{far_run}.safetensors"}
names = {
    "maptr": "MapTR",
    "maptrv2": "MapTRv2",
    "supermapnet": "SuperMapNet",
    "streammapnet": "StreamMapNet",
    "vectormapnet": "VectorMapNet",
}
rows = [
    dict(name=f"{name}, {size}", config=f"configs/town/{key}_lss-pillars_{end}", options=budget)
    for size, end, budget in (("60 x 30 m", "60x30_town.py", near_budget), ("100 x 50 m", far, far_budget))
    for key, name in names.items()
]
