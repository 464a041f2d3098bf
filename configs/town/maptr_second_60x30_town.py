"""LiDAR alone on the synthetic town, with mmdet3d's PointPillars parts and SECOND instead of ours."""

_base_ = ["./maptr_pillars_60x30_town.py"]

model = dict(lidar=dict(_delete_=True, type="PointPillars", pillar_channels=32, channels=64))
