"""Time VectorMapNet's generator with its key-value cache and without: polylines that all run to their full length.

python tools/benchmark_generation.py [CONFIG] [--elements 50] [--vertices 30] [--threads 1] [--out metrics.json]
"""

import argparse
import copy
import json
import os
import statistics
import time
from pathlib import Path

import torch

from mapstack.engine import load_config
from mapstack.geometry import BEVGrid
from mapstack.models.decoders.vectormapnet import Sampler, generate, generate_without_cache
from mapstack.models.decoders.vectormapnet.codec import END
from mapstack.registry import MODELS

CONFIG = "configs/town/vectormapnet_lss-pillars_60x30_town.py"
WAYS = {"cache": generate, "no cache": generate_without_cache}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", default=CONFIG)
    parser.add_argument("--elements", type=int, default=50)
    parser.add_argument("--vertices", type=int, default=30)
    parser.add_argument("--frames", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="where each way's milliseconds and the speed-up are written")
    return parser.parse_args()


@torch.no_grad()
def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    cfg = load_config(args.config)
    torch.manual_seed(0)
    section = copy.deepcopy(cfg.model.decoder) | {"max_vertices": args.vertices}
    shared = {"grid": cfg.grid, "cell_m": cfg.bev_cell_m, "num_classes": len(cfg.classes)}
    decoder = MODELS.build({**shared, "in_channels": 16, **section}).eval()
    generator = decoder.generator
    generator.head.bias[END] = -1e3  # nothing ends before its last vertex
    rows, cols = BEVGrid(**cfg.grid).with_cell(cfg.bev_cell_m).shape
    memory = generator.remember(torch.randn(args.frames, section.embed_dims, rows, cols))
    labels = torch.randint(len(cfg.classes), (args.frames, args.elements))
    keypoints = torch.randint(1, min(decoder.codec.sizes), (*labels.shape, decoder.form.num_points, 2))
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    lines = {}
    for turn in range(args.rounds + 1):
        for name, way in WAYS.items():
            start = time.perf_counter()
            lines[name] = way(generator, memory, labels, keypoints, Sampler())
            if turn:  # the first is not measured
                times[name].append((time.perf_counter() - start) * 1e3)
    apart = float((lines["cache"].vertices - lines["no cache"].vertices).abs().max())
    if apart > 1e-5 or int(lines["cache"].counts.min()) < args.vertices:
        raise SystemExit(f"the two ways differ by {apart} m, or a line ended early: nothing was measured")
    medians = {name: statistics.median(values) for name, values in times.items()}
    speedup = medians["no cache"] / medians["cache"]
    where = f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}"
    print(f"{args.frames} frames of {args.elements} elements of {args.vertices} vertices; {where}; medians")
    for name, value in medians.items():
        print(f"{name:9} {value:8.0f} ms")
    print(f"{speedup:.1f} times faster; the polylines are the same to {apart:.0e} m")
    if args.out is not None:
        args.out.write_text(
            json.dumps({"ms/cache": medians["cache"], "ms/no cache": medians["no cache"], "speedup": speedup})
        )


if __name__ == "__main__":
    main()
