"""What the tables of localisation share: the town whose streets are driven often, split by drives."""

data = [
    dict(
        command="tools/make_town.py data/town_localisation --size localisation",
        creates="data/town_localisation/town.json",
    ),
    dict(
        command="tools/prepare_nuscenes.py --root data/town_localisation/nuscenes --split-file "
        "data/splits/town_localisation/train.txt data/splits/town_localisation/unlabelled.txt "
        "data/splits/town_localisation/val.txt --out data/town_localisation/by_drive",
        creates="data/town_localisation/by_drive/val.parquet",
    ),
]

posenet = "configs/mapnet/posenet_efficientnet_town.py"
mapnet = "configs/mapnet/mapnet_efficientnet_town.py"
mapnet_plus = "configs/mapnet/mapnet-plus_efficientnet_town.py"
