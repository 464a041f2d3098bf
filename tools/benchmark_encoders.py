"""Cost of a config's encoder at a range: parameters, FLOPs, time and peak memory of one frame on this machine's CPU.

tools/benchmark_encoders.py measure CONFIG --range 120x60 [--part lidar] [--out metrics.json]
tools/benchmark_encoders.py draw docs/results/encoder_cost.json docs/results/encoder_cost.svg
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from mmengine import Config
from torch import nn

from mapstack.engine import load_config
from mapstack.engine.cost import measure_encoder, surround_frame
from mapstack.errors import MapstackError
from mapstack.geometry import BEVGrid
from mapstack.registry import MODELS
from mapstack.visualization.growth import growth_svg

GRIDS = Path(__file__).parents[1] / "configs/_base_/grids"
PANELS = {"gflops": "GFLOPs", "ms": "ms", "peak_mib": "peak MiB", "training_peak_mib": "peak MiB in training"}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(dest="mode", required=True)
    measuring = modes.add_parser("measure", help="one encoder at one range, in a process of its own")
    measuring.add_argument("config")
    measuring.add_argument("--range", default="60x30", help="a grid of configs/_base_/grids (default 60x30)")
    measuring.add_argument("--part", choices=("camera", "lidar"), default="camera")
    measuring.add_argument("--rounds", type=int, default=5)
    measuring.add_argument("--threads", type=int, default=1)
    measuring.add_argument("--out", type=Path, metavar="JSON")
    drawing = modes.add_parser("draw", help="the growth with the range, from the table's results")
    drawing.add_argument("results", type=Path, metavar="JSON")
    drawing.add_argument("figure", type=Path, metavar="SVG")
    return parser.parse_args()


def build_encoder(cfg: Config, part: str, base: Config) -> nn.Module:
    options = {**cfg.model[part].to_dict(), "grid": base.grid.to_dict(), "cell_m": base.bev_cell_m}
    if options["type"] == "LSSEncoder":  # its depth has to reach the end of the patch
        near, far, width = options["depth_range_m"]
        options["depth_range_m"] = (near, max(far, near + BEVGrid(**base.grid).size_m[0] / 2), width)
    torch.manual_seed(0)
    return MODELS.build(options)


def measure(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    cfg, base = load_config(args.config), Config.fromfile(str(GRIDS / f"{args.range}.py"))
    encoder = build_encoder(cfg, args.part, base)
    numbers = measure_encoder(encoder, surround_frame(cfg.image_size, base.grid.pc_range), args.rounds)
    print(", ".join(f"{name} {value:.4g}" for name, value in numbers.items()))
    if args.out is not None:
        args.out.write_text(json.dumps(numbers), encoding="utf-8")


def draw(args: argparse.Namespace) -> None:
    curves: dict[str, list[dict]] = {}
    for row in json.loads(args.results.read_text(encoding="utf-8"))["rows"]:
        curves.setdefault(row["name"].partition(",")[0], []).append(row["metrics"])
    args.figure.write_text(growth_svg(curves, "cells", "BEV cells", PANELS), encoding="utf-8")
    print(f"written: {args.figure}")


def main() -> None:
    args = parse_args()
    draw(args) if args.mode == "draw" else measure(args)


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
