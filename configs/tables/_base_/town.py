"""What the tables on the synthetic town share: how its data is made, and the configs' names."""

data = [
    dict(command="tools/make_town.py data/town --size small", creates="data/town/town.json"),
    dict(
        command="tools/prepare_nuscenes.py --root data/town/nuscenes "
        "--split-file data/town/splits/train.txt data/town/splits/val.txt --out data/town/index",
        creates="data/town/index/val.parquet",
    ),
]

camera = "configs/town/maptr_lss_60x30_town.py"
lidar = "configs/town/maptr_pillars_60x30_town.py"
fused = "configs/town/maptr_lss-pillars_60x30_town.py"

columns = {
    "maptr/mAP": "mAP",
    "maptr/AP_divider": "divider",
    "maptr/AP_ped_crossing": "crossing",
    "maptr/AP_boundary": "boundary",
    "train/minutes": "minutes",
}
