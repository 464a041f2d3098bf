"""Cameras alone by BEVFormer's queries on the synthetic town, 60 m x 30 m; no LiDAR in training either."""

_base_ = ["./maptr_ipm_60x30_town.py", "../_base_/models/camera_bevformer.py"]

model = dict(camera=dict(_delete_=True, **_base_.bevformer))
