"""Cameras by inverse perspective mapping, and LiDAR, on the synthetic town, 60 m x 30 m."""

_base_ = ["./maptr_lss-pillars_60x30_town.py", "../_base_/models/camera_ipm.py"]

model = dict(camera=dict(_delete_=True, **_base_.ipm))
