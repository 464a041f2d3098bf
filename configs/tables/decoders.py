"""Decoders behind one encoder at one budget."""

_base_ = ["./_base_/town.py", "./_base_/finetune.py"]

title = (
    "Decoders behind the demo's encoder, whose shipped weights every row starts from; MapTR's decoder comes with "
    "them, the others begin untrained. 250 steps of 4 frames each."
)
seeds = [0]
budget = {**_base_.finetune, "train_cfg.max_iters": 250, "train_cfg.val_interval": 250}
wide = dict(_base_.finetune)  # the wide patch costs three times as much
rows = [
    dict(name="MapTR, 60 x 30 m", config="configs/town/maptr_lss-pillars_60x30_town.py", options=budget),
    dict(name="MapTRv2, 60 x 30 m", config="configs/town/maptrv2_lss-pillars_60x30_town.py", options=budget),
    dict(name="SuperMapNet, 60 x 30 m", config="configs/town/supermapnet_lss-pillars_60x30_town.py", options=budget),
    dict(name="StreamMapNet, 60 x 30 m", config="configs/town/streammapnet_lss-pillars_60x30_town.py", options=budget),
    dict(name="VectorMapNet, 60 x 30 m", config="configs/town/vectormapnet_lss-pillars_60x30_town.py", options=budget),
    dict(name="MapTR, 100 x 50 m", config="configs/town/maptr_lss-pillars_100x50_town.py", options=wide),
    dict(name="MapTRv2, 100 x 50 m", config="configs/town/maptrv2_lss-pillars_100x50_town.py", options=wide),
    dict(name="SuperMapNet, 100 x 50 m", config="configs/town/supermapnet_lss-pillars_100x50_town.py", options=wide),
    dict(name="StreamMapNet, 100 x 50 m", config="configs/town/streammapnet_lss-pillars_100x50_town.py", options=wide),
    dict(name="VectorMapNet, 100 x 50 m", config="configs/town/vectormapnet_lss-pillars_100x50_town.py", options=wide),
]
