"""How wrong may a prior be before it hurts?"""

_base_ = ["./_base_/priors.py"]

title = (
    "An HD map as a prior, of growing age and of another place: one training a seed, scored with each; and the model that never "
    "saw a prior, trained as long. The sensors' encoders stay as shipped. A useless prior must cost at most 0.01, today's map must give nearly 1."
)
seeds = [0, 1, 2]
near = "configs/town/maptr-stalehd_lss-pillars_60x30_town.py"
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
    dict(name="no prior, fine-tuned alike", config=_base_.fused, options=_base_.tuned),
    *[dict(name=name, config=near, options=_base_.tuned, test_options=changed) for name, changed in scored],
]
