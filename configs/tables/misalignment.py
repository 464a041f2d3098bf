"""What an error of calibration costs, and what alignment gets back."""

_base_ = ["./_base_/town.py", "./_base_/finetune.py"]

title = (
    "Cameras moved against the LiDAR by 0.5 m and 1 degree, in a direction drawn for every frame: what concatenation "
    "loses, and what alignment gets back. Trained with errors up to that size where the row says so. Made and left: mean "
    "distance over the patch by which the cameras' map is off, before and after the predicted offsets."
)
seeds = [0]
columns = {"alignment/made_m": "made, m", "alignment/left_m": "left, m"}
config = "configs/town/maptr-misalignedfusion_lss-pillars_60x30_town.py"
concat = {**_base_.finetune, "model.fusion.synergy": None, "model.fusion.alignment": None}
alignment = {**_base_.finetune, "model.fusion.synergy": None}
trained_true = {
    "train_dataloader.dataset.pipeline.5.translation_m": 0.0,
    "train_dataloader.dataset.pipeline.5.rotation_deg": 0.0,
}
tested_true = {
    "test_dataloader.dataset.pipeline.3.translation_m": 0.0,
    "test_dataloader.dataset.pipeline.3.rotation_deg": 0.0,
}
unsupervised = {**alignment, "model.fusion.alignment.weight": 0.0}
published = {**unsupervised, "model.fusion.alignment.correlation_radius": 0, "model.fusion.alignment.rigid": False}
both = _base_.finetune
rows = [
    dict(
        name="concatenation, true calibration",
        config=config,
        options={**concat, **trained_true},
        test_options=tested_true,
    ),
    dict(name="concatenation, error in testing", config=config, options={**concat, **trained_true}),
    dict(name="concatenation, error in training and testing", config=config, options=concat),
    dict(name="alignment as published, both", config=config, options=published),
    dict(name="+ correlation and a rigid part, both", config=config, options=unsupervised),
    dict(name="+ the made error as its teacher, both", config=config, options=alignment),
    dict(name="+ attention, both", config=config, options=both),
    dict(
        name="+ attention, trained with errors, true calibration", config=config, options=both, test_options=tested_true
    ),
]
