"""How wrong may a prior be before it hurts?"""

_base_ = ["./_base_/town.py", "./_base_/finetune.py"]

title = (
    "An HD map as a prior, of growing age and of another place: one training, scored with each; and the model that never "
    "saw a prior. A useless prior must cost at most 0.01, today's map must give nearly 1."
)
seeds = [0]
near = "configs/town/maptr-stalehd_lss-pillars_60x30_town.py"
tuned = {**_base_.finetune, "train_cfg.max_iters": 150, "train_cfg.val_interval": 150}
load = "test_dataloader.dataset.pipeline.5"
strength, classes = f"{load}.priors.0.strength", f"{load}.priors.0.classes"
scored = [
    ("prior missing", {f"{load}.drop_prob": 1.0}),
    ("today's map", {strength: 0.0}),
    ("strength 0.5", {strength: 0.5}),
    ("strength 1", {}),
    ("strength 2", {strength: 2.0}),
    ("strength 4", {strength: 4.0}),
    ("strength 8: next to nothing holds", {strength: 8.0}),
    ("strength 1, boundaries alone (MapEX)", {classes: ["boundary"]}),
    ("map of a place 22 m away", {f"{load}.displace_m": [20.0, 10.0]}),
    ("map of a place 92 m away", {f"{load}.displace_m": [-80.0, 45.0]}),
]
rows = [
    dict(name="no prior, fine-tuned alike", config=_base_.fused, options=tuned),
    *[dict(name=name, config=near, options=tuned, test_options=changed) for name, changed in scored],
]
