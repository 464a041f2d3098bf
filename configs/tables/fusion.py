"""How camera and LiDAR are joined, near and far."""

_base_ = ["./_base_/town.py", "./_base_/finetune.py"]

title = (
    "Fusion of cameras and LiDAR at two ranges, each fine-tuned alike from the same weights, in which an untrained fuser "
    "computes what concatenation does."
)
seeds = [0]
near, far = "60x30_town.py", "120x60_town.py"
concat = "configs/town/maptr_lss-pillars_"
conv = "configs/town/maptr-convfusion_lss-pillars_"
synergy = "configs/town/maptr-synergyfusion_lss-pillars_"
attention_alone = {**_base_.finetune, "model.fusion.alignment": None}
alignment_alone = {**_base_.finetune, "model.fusion.synergy": None}
rows = [
    dict(name="60 x 30 m, concatenation", config=concat + near, options=_base_.finetune),
    dict(name="60 x 30 m, BEVFusion's convolutions", config=conv + near, options=_base_.finetune),
    dict(name="60 x 30 m, SuperMapNet's attention", config=synergy + near, options=attention_alone),
    dict(name="60 x 30 m, SuperMapNet's alignment", config=synergy + near, options=alignment_alone),
    dict(name="60 x 30 m, both", config=synergy + near, options=_base_.finetune),
    dict(name="120 x 60 m, concatenation", config=concat + far, options=_base_.finetune),
    dict(name="120 x 60 m, BEVFusion's convolutions", config=conv + far, options=_base_.finetune),
    dict(name="120 x 60 m, SuperMapNet's attention", config=synergy + far, options=attention_alone),
    dict(name="120 x 60 m, SuperMapNet's alignment", config=synergy + far, options=alignment_alone),
    dict(name="120 x 60 m, both", config=synergy + far, options=_base_.finetune),
]
