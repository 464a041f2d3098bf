"""VectorMapNet from cameras and LiDAR on the synthetic town, 100 m x 50 m."""

_base_ = ["./maptr_lss-pillars_100x50_town.py", "../_base_/models/vectormapnet.py"]

model = dict(decoder=dict(_delete_=True, **{**_base_.vectormapnet_small, "token_m": 0.25}))
