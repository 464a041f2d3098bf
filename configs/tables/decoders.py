"""Decoders behind one encoder at one budget."""

_base_ = ["./_base_/encoder.py"]

title = (
    "Decoders that begin untrained behind the demo's encoder with its shipped weights: 250 steps of 4 frames each at "
    "60 x 30 m, 200 at 100 x 50 m."
)
seeds = [0]
budget = {**_base_.fresh_decoder, "train_cfg.max_iters": 250, "train_cfg.val_interval": 250}
wide = {**_base_.fresh_decoder}  # the wide patch costs more
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
