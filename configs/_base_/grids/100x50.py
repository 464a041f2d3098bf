"""100 m x 50 m: the patch, ego metres, long side along x."""

_base_ = ["./truth.py"]

grid = dict(pc_range=(-50.0, -25.0, -5.0, 50.0, 25.0, 3.0), cell_m=0.5)
bev_cell_m = 0.5  # what the sensors are encoded into
