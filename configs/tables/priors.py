"""Kinds of prior maps and ways to use them, near and far."""

_base_ = ["./_base_/priors.py"]

title = (
    "Prior maps, each model fine-tuned alike for 400 steps (200 at 120 x 60 m) behind the same trained encoders, which stay as they "
    "are; the row without a prior, too. Seen and hidden: average precision by length where the LiDAR sees the ground and in the shadows "
    "of what stands on it; far: beyond 30 m. Held-out streets; where it says so, the streets of a second town, which no training sees and which are driven often: earlier "
    "drives there are predictions of the model without a prior. Three strengths of ageing are three scorings of one "
    "training. The last rows are the old map itself, scored as a prediction."
)
seeds = [0]
columns = {
    "maptr/mAP": "mAP",
    "visibility/seen": "seen",
    "visibility/hidden": "hidden",
    "visibility/far": "far",
    "maptr/AP_divider": "divider",
    "maptr/AP_ped_crossing": "crossing",
    "maptr/AP_boundary": "boundary",
}
weights = "data/weights/maptr_lss-pillars_60x30_town.safetensors"
predict = f"tools/test.py configs/town/maptr_lss-pillars_60x30_town.py {weights}"
often = "data/town_revisited/localisation"
data = (
    _base_.data
    + _base_.far_data
    + [
        dict(
            command="tools/make_town.py data/town_revisited --size revisited", creates="data/town_revisited/town.json"
        ),
        dict(
            command="tools/prepare_nuscenes.py --root data/town_revisited/nuscenes --split-file "
            "data/splits/town_revisited/train.txt data/splits/town_revisited/unlabelled.txt "
            f"data/splits/town_revisited/val.txt --out {often}",
            creates=f"{often}/val.parquet",
        ),
        dict(
            command=f"{predict} --out work_dirs/drives/town --cfg-options "
            "test_dataloader.dataset.ann_file=data/town/index/train.parquet",
            creates="work_dirs/drives/town/predictions.json",
        ),
        dict(
            command=f"{predict} --out work_dirs/drives/often --cfg-options "
            f"test_dataloader.dataset.ann_file={often}/train.parquet",
            creates="work_dirs/drives/often/predictions.json",
        ),
        dict(
            command="tools/build_drive_map.py work_dirs/drives/town/predictions.json data/town/index/train.parquet "
            "--out data/town/drives",
            creates="data/town/drives/store.json",
        ),
        dict(
            command=f"tools/build_drive_map.py work_dirs/drives/often/predictions.json {often}/train.parquet "
            "--out data/town_revisited/drives",
            creates="data/town_revisited/drives/store.json",
        ),
    ]
)

elsewhere = {"test_dataloader.dataset.ann_file": f"{often}/val.parquet"}
strength = "test_dataloader.dataset.pipeline.5.priors.0.strength"
none, raster, polyline = "maptr_", "maptr-sdraster_", "maptr-sdpolyline_"
streets, stale, drives, every = "maptr-sd_", "maptr-stalehd_", "maptr-drives_", "maptr-allpriors_"
copy = "tools/score_prior.py configs/town/maptr-stalehd_lss-pillars_"
named = [
    ("no prior", none, {}),
    ("streets, raster", raster, {}),
    ("streets, polyline", polyline, {}),
    ("streets, unified encoder", streets, {}),
    ("old HD map, strength 0.5", stale, {strength: 0.5}),
    ("old HD map, strength 1", stale, {}),
    ("old HD map, strength 2", stale, {strength: 2.0}),
    ("second town, no prior", none, elsewhere),
    ("second town, earlier drives", drives, {}),
    ("second town, all three", every, {}),
]
ranges = [("60 x 30 m", "60x30", _base_.tuned), ("120 x 60 m", "120x60", _base_.tuned_far)]
rows = [
    dict(
        name=f"{size}, {name}",
        config=f"configs/town/{method}lss-pillars_{short}_town.py",
        options=options,
        **(dict(test_options=changed) if changed else {}),
    )
    for size, short, options in ranges
    for name, method, changed in named
] + [
    dict(
        name=f"{size}, the old HD map itself, strength {value}",
        command=f"{copy}{short}_town.py --metrics {{out}} --cfg-options {strength}={value}",
    )
    for size, short, _ in ranges
    for value in (0.5, 1.0, 2.0)
]
