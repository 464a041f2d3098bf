"""VectorMapNet from cameras and LiDAR on the synthetic town, 60 m x 30 m: the demo's encoder, polylines vertex by vertex."""

_base_ = ["./maptr_lss-pillars_60x30_town.py", "../_base_/models/vectormapnet.py"]

model = dict(decoder=dict(_delete_=True, **_base_.vectormapnet_small))
