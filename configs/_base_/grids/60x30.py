"""60 m x 30 m: the patch, ego metres, long side along x."""

_base_ = ["./truth.py"]

grid = dict(pc_range=(-30.0, -15.0, -5.0, 30.0, 15.0, 3.0), cell_m=0.3)
bev_cell_m = 0.6  # what the sensors are encoded into
