"""What a config's decoder costs at inference, on one BEV map: parameters, FLOPs, milliseconds, and how they grow.

python tools/benchmark_decoders.py CONFIG [--elements 20 40 80 160] [--rounds 7] [--threads 1] [--out metrics.json]
"""

import argparse
import copy
import json
import statistics
import sys
import time
from pathlib import Path

import torch
from mmengine import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mapstack.engine import load_config
from mapstack.errors import MapstackError
from mapstack.registry import MODELS


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument(
        "--elements", type=int, nargs="+", default=[20, 40, 80, 160], help="queries a frame, to compare"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, metavar="JSON")
    return parser.parse_args()


def model_with(cfg: Config, num_elements: int | None) -> nn.Module:
    """The model, its decoder with so many queries; None keeps the config's."""
    model = copy.deepcopy(cfg.model)
    if num_elements is not None and "num_elements" in model.decoder:  # by class
        given = model.decoder.num_elements
        model.decoder.num_elements = [max(1, round(num_elements * count / sum(given))) for count in given]
    elif num_elements is not None:
        model.decoder.num_queries = num_elements
        for name in {"num_lines", "num_propagated"} & set(model.decoder):
            model.decoder[name] = num_elements if name == "num_lines" else min(model.decoder[name], num_elements // 2)
    torch.manual_seed(0)
    return MODELS.build(model).eval()


def bev_of(model: nn.Module) -> Tensor:
    """A random map of the shape that the decoder takes."""
    rows, cols = model.bev_shape
    channels = next(layer for layer in model.decoder.modules() if isinstance(layer, nn.Conv2d)).in_channels
    wanted = getattr(model.bev_encoder, "out_channels", channels)
    return torch.randn(1, wanted, rows, cols, generator=torch.Generator().manual_seed(0))


def milliseconds(decoder: nn.Module, bev: Tensor, rounds: int) -> float:
    """Median time of one frame."""
    times = []
    for _ in range(rounds + 1):  # the first is not measured
        start = time.perf_counter()
        decoder(bev)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times[1:])


def main() -> None:
    """Measure and print."""
    args = parse_args()
    torch.set_num_threads(args.threads)
    torch.backends.mha.set_fastpath_enabled(False)  # its fused kernel is not counted
    cfg = load_config(args.config)
    init_default_scope("mapstack")
    model = model_with(cfg, None)
    with torch.no_grad():
        bev = bev_of(model)
        with FlopCounterMode(display=False) as counter:
            model.decoder(bev)
        metrics = {
            "parameters": sum(value.numel() for value in model.decoder.parameters()),
            "gflops": counter.get_total_flops() / 1e9,
            "ms": milliseconds(model.decoder, bev, args.rounds),
        }
        for count in args.elements:
            metrics[f"ms/{count}"] = milliseconds(model_with(cfg, count).decoder, bev, args.rounds)
    print(f"{args.config}: " + ", ".join(f"{key} {value:.4g}" for key, value in metrics.items()))
    if args.out is not None:
        args.out.write_text(json.dumps(metrics) + "\n")


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
