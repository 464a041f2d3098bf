"""240 m x 60 m: the patch, ego metres, long side along x."""

_base_ = ["./truth.py"]

grid = dict(pc_range=(-120.0, -30.0, -5.0, 120.0, 30.0, 3.0), cell_m=0.6)
bev_cell_m = 0.6  # what the sensors are encoded into
