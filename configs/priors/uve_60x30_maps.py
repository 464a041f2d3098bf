"""Pre-train the Unified Vector Encoder on real maps alone, 60 m x 30 m; tiles of ground are held out.

Maps of nuScenes scenes, Argoverse 2 logs, a Lanelet2 file and OpenStreetMap extracts of two cities, as they lie in the
folder of shared recordings. Put your own into ``maps``: all of nuScenes is
``dict(kind="nuscenes", root="data/nuscenes", name="boston-seaport")`` and three more.
"""

_base_ = ["./uve_60x30_town.py"]

shared = "../shared/data/"
maps = [
    *[dict(kind="geojson", root=f"{shared}nuscenes_maps/scene-{n}.geojson") for n in ("0061", "0103", "0655", "1077")],
    *[
        dict(kind="argoverse2", root=f"{shared}argoverse2/sensor/val/{log}")
        for log in ("7fab2350-7eaf-3b7e-a39d-6937a4c1bede", "adcf7d18-0510-35b0-a2fa-b4cea13a6d76")
    ],
    dict(kind="lanelet2", root=f"{shared}lanelet2/mapping_example.osm", name=(8.4242, 49.0034)),
    dict(kind="osm", root=f"{shared}osm/boston-seaport.shp", name="boston-seaport"),
    dict(kind="osm", root=f"{shared}osm/singapore-onenorth.shp", name="singapore-onenorth"),
]
cut = dict(type="CropVectors", grid=_base_.grid, num_points=_base_.num_points)
train_pipeline = [{**cut, "turn_deg": 180.0, "shift_m": 10.0}] + _base_.vectors

train_dataloader = dict(
    dataset=dict(_delete_=True, type="VectorCrops", maps=maps, part="train", pipeline=train_pipeline)
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="VectorCrops",
        maps=maps,
        part="held_out",
        max_places=100,
        pipeline=[cut] + _base_.vectors,
        test_mode=True,
    )
)
test_dataloader = val_dataloader
