"""Cameras alone by geometry-guided kernel attention on the synthetic town, 60 m x 30 m; no LiDAR in training either."""

_base_ = ["./maptr_ipm_60x30_town.py", "../_base_/models/camera_gkt.py"]

model = dict(camera=dict(_delete_=True, **_base_.gkt))
