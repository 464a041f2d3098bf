"""Cameras and LiDAR fused as in SuperMapNet, on the synthetic town, 240 m x 60 m."""

_base_ = ["./maptr_lss-pillars_240x60_town.py", "../_base_/models/fusion_synergy.py"]

model = dict(fusion=_base_.synergy_fusion)
