"""Cameras and LiDAR fused as in SuperMapNet, on the synthetic town, 60 m x 30 m."""

_base_ = ["./maptr_lss-pillars_60x30_town.py", "../_base_/models/fusion_synergy.py"]

model = dict(fusion=_base_.synergy_fusion)
