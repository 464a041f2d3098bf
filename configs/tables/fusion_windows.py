"""What attention in windows loses against full attention."""

_base_ = ["./_base_/town.py", "./_base_/finetune.py"]

title = (
    "SuperMapNet's attention at 60 m x 30 m, trained in windows (5 cells and 3 around them), scored in windows and with "
    "the same weights in full, where every cell asks all of the other sensor's map."
)
seeds = [0]
config = "configs/town/maptr-synergyfusion_lss-pillars_60x30_town.py"
options = {**_base_.finetune, "model.fusion.alignment": None}
rows = [
    dict(name="windows", config=config, options=options),
    dict(name="full attention", config=config, options=options, test_options={"model.fusion.synergy.window": None}),
]
