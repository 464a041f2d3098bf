"""Cost of a fuser at a range: parameters, FLOPs, time and peak memory of one frame on this machine's CPU.

One fuser a process, because a process knows its peak memory only once.
"""

import argparse
import copy
import json
import resource
import sys
import time
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mapstack.engine import load_config
from mapstack.errors import MapstackError
from mapstack.geometry import BEVGrid
from mapstack.registry import MODELS


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="its fusion is measured, on BEV maps as wide as its encoders return")
    parser.add_argument("--range", default="60x30", dest="range_m", metavar="LENGTHxWIDTH", help="metres")
    parser.add_argument("--cell-m", type=float, default=0.6, help="edge of a BEV cell (default 0.6)")
    parser.add_argument("--full", action="store_true", help="let every cell ask every other instead of its window")
    parser.add_argument("--train", action="store_true", help="forward and backward, instead of inference")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    return parser.parse_args()


def count_flops(fusion: nn.Module, maps: list[Tensor]) -> int:
    """FLOPs of one inference, computing nothing: the CPU's fused attention is not counted, the written-out one is."""
    ghost = copy.deepcopy(fusion).eval().to("meta")
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as flops:
        ghost([torch.empty(x.shape, device="meta") for x in maps])
    return flops.get_total_flops()


def measure(args: argparse.Namespace) -> dict[str, float]:
    cfg = load_config(args.config)
    length, width = (float(side) for side in args.range_m.split("x"))
    grid = {"pc_range": (-length / 2, -width / 2, -5.0, length / 2, width / 2, 3.0), "cell_m": args.cell_m}
    options = cfg.model.fusion.to_dict()
    if args.full:
        options["synergy"]["window"] = None
    if options["type"] == "SynergyFusion":
        options |= {"grid": grid, "cell_m": args.cell_m}
    widths = (cfg.model.camera.channels, cfg.model.lidar.channels)
    fusion = MODELS.build({**options, "in_channels": widths}).train(args.train)
    maps = [torch.randn(1, channels, *BEVGrid(**grid).shape, requires_grad=args.train) for channels in widths]

    def run() -> None:
        fused, _ = fusion(maps)
        if args.train:
            fused.sum().backward()

    with torch.set_grad_enabled(args.train):
        fusion([x[..., :8, :8] for x in maps])  # what is loaded at first use is not the fuser's memory
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        times = []
        for _ in range(args.repeats):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {
        "parameters": sum(value.numel() for value in fusion.parameters()),
        "gflops": count_flops(fusion, maps) / 1e9,
        "ms": 1000 * median(times),
        "peak_mib": peak_kib / 1024,
    }


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    numbers = measure(args)
    print(", ".join(f"{name} {value:.1f}" for name, value in numbers.items()))
    if args.out is not None:
        args.out.write_text(json.dumps(numbers), encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
