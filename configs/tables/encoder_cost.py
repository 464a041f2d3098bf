"""What encoders cost, and how the cost grows with the range."""

title = (
    "One frame of six 256 x 144 px cameras, or of 30,000 LiDAR points, encoded on one CPU core at the town's size; peak "
    "memory is what the process needed beyond model and inputs, and in training with the gradients of one frame. Cells "
    "of 0.6 m (100 x 50 m: 0.5 m); lift-splat's depth reaches to the end of the patch."
)
seeds = [0]
columns = {
    "cells": "BEV cells",
    "parameters": "parameters",
    "gflops": "GFLOPs",
    "ms": "ms",
    "peak_mib": "peak MiB",
    "training_peak_mib": "training, peak MiB",
}
tool = "tools/benchmark_encoders.py measure configs/town/maptr"
ranges = {"60x30": "60 x 30 m", "100x50": "100 x 50 m", "120x60": "120 x 60 m", "240x60": "240 x 60 m"}
encoders = {
    "lift-splat": f"{tool}_lss_60x30_town.py",
    "inverse perspective": f"{tool}_ipm_60x30_town.py",
    "BEVFormer": f"{tool}_bevformer_60x30_town.py",
    "GKT": f"{tool}_gkt_60x30_town.py",
    "lift-splat with EfficientNet-Lite0": f"{tool}_efficientnet-lss_60x30_town.py",
    "LiDAR pillars": f"{tool}_pillars_60x30_town.py --part lidar",
    "LiDAR SECOND": f"{tool}_second_60x30_town.py --part lidar",
}
rows = [
    dict(name=f"{encoder}, {metres}", command=f"{command} --range {name} --out {{out}}")
    for encoder, command in encoders.items()
    for name, metres in ranges.items()
]
