"""Cameras and LiDAR fused by BEVFusion's convolutions, on the synthetic town, 60 m x 30 m."""

_base_ = ["./maptr_lss-pillars_60x30_town.py"]

model = dict(fusion=dict(type="ConvFusion", num_blocks=2))
