"""Cameras and LiDAR fused by BEVFusion's convolutions, on the synthetic town, 120 m x 60 m."""

_base_ = ["./maptr_lss-pillars_120x60_town.py"]

model = dict(fusion=dict(type="ConvFusion", num_blocks=2))
