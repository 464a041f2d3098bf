"""What an error of calibration costs, and what alignment gets back."""

_base_ = ["./_base_/town.py", "./_base_/finetune.py"]

title = (
    "One sensor moved against the other by 0.5 m and 1 degree, in a direction drawn for every frame: what concatenation "
    "loses, and what alignment gets back, which warps the map of the sensor that was moved. Trained with errors up to that "
    "size where the row says so; 400 steps where the LiDAR moves, 200 where the cameras do. Made and left: mean distance over "
    "the patch by which that map is off, before and after the predicted offsets."
)
seeds = [0]
columns = {"alignment/made_m": "made, m", "alignment/left_m": "left, m"}
config = "configs/town/maptr-misalignedfusion_lss-pillars_60x30_town.py"
steps = ("train_dataloader.dataset.pipeline.5", "test_dataloader.dataset.pipeline.3")
lidar_moved = {f"{step}.sensor": "lidar" for step in steps}
lidar_warped = {**lidar_moved, "model.fusion.alignment.warped": "lidar"}
trained_true = {f"{steps[0]}.{size}": 0.0 for size in ("translation_m", "rotation_deg")}
tested_true = {f"{steps[1]}.{size}": 0.0 for size in ("translation_m", "rotation_deg")}
longer = {**_base_.finetune, "train_cfg.max_iters": 400, "train_cfg.val_interval": 400}
without = {"model.fusion.synergy": None, "model.fusion.alignment": None}
alignment = {**longer, "model.fusion.synergy": None}
untaught = {"model.fusion.alignment.weight": 0.0}
published = {**untaught, "model.fusion.alignment.search": 0}
rows = [
    dict(
        name="concatenation, true calibration",
        config=config,
        options={**longer, **without, **trained_true},
        test_options=tested_true,
    ),
    dict(
        name="LiDAR moved: concatenation, error in testing",
        config=config,
        options={**longer, **without, **trained_true},
        test_options=lidar_moved,
    ),
    dict(name="LiDAR moved: concatenation, both", config=config, options={**longer, **without, **lidar_moved}),
    dict(
        name="LiDAR moved: alignment as published, both",
        config=config,
        options={**alignment, **lidar_warped, **published},
    ),
    dict(
        name="LiDAR moved: + registration, both",
        config=config,
        options={**alignment, **lidar_warped, **untaught},
    ),
    dict(
        name="LiDAR moved: + the made error as its teacher, both",
        config=config,
        options={**alignment, **lidar_warped},
    ),
    dict(
        name="LiDAR moved: the same, error in training, true calibration",
        config=config,
        options={**alignment, **lidar_warped},
        test_options=tested_true,
    ),
    dict(
        name="cameras moved: concatenation, error in testing",
        config=config,
        options={**_base_.finetune, **without, **trained_true},
    ),
    dict(name="cameras moved: concatenation, both", config=config, options={**_base_.finetune, **without}),
    dict(
        name="cameras moved: alignment as published, both",
        config=config,
        options={**_base_.finetune, "model.fusion.synergy": None, **published},
    ),
    dict(
        name="cameras moved: + registration and teacher, both",
        config=config,
        options={**_base_.finetune, "model.fusion.synergy": None},
    ),
]
