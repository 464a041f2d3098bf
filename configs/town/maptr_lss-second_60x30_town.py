"""Cameras, and LiDAR by dense SECOND, on the synthetic town, 60 m x 30 m."""

_base_ = ["./maptr_lss-pillars_60x30_town.py"]

model = dict(
    lidar=dict(
        _delete_=True, type="DenseSECOND", channels=40, point_channels=8, stage_channels=(40, 64), stage_depths=(1, 2)
    )
)
