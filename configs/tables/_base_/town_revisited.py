"""What the tables of localisation share: the town whose streets are driven often, split by drives."""

data = [
    dict(
        command="tools/make_town.py data/town_revisited --size revisited",
        creates="data/town_revisited/town.json",
    ),
    dict(
        command="tools/prepare_nuscenes.py --root data/town_revisited/nuscenes --split-file "
        "data/splits/town_revisited/train.txt data/splits/town_revisited/unlabelled.txt "
        "data/splits/town_revisited/val.txt --out data/town_revisited/localisation",
        creates="data/town_revisited/localisation/val.parquet",
    ),
]

posenet = "configs/mapnet/posenet_resnet18_town.py"
mapnet = "configs/mapnet/mapnet_resnet18_town.py"
mapnet_plus = "configs/mapnet/mapnet-plus_resnet18_town.py"
