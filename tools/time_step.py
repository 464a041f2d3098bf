"""Time one training step with the fast ops and with the reference ones, in turn, on one batch of a config's data.

python tools/time_step.py configs/town/maptr_lss-pillars_60x30_town.py [--rounds 7] [--out metrics.json]
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from unittest.mock import patch

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch import nn

from mapstack.ops import _backends, available_backends
from mapstack.registry import MODELS


def step_s(model: nn.Module, batch: dict, optimizer: torch.optim.Optimizer) -> float:
    start = time.perf_counter()
    optimizer.zero_grad()
    losses = model(**batch, mode="loss")
    sum(value for name, value in losses.items() if name.startswith("loss")).backward()
    optimizer.step()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, help="where each choice's milliseconds and the speed-up are written")
    options = parser.parse_args()
    config = Config.fromfile(options.config)
    init_default_scope("mapstack")
    torch.manual_seed(0)
    loader = dict(config.train_dataloader, num_workers=0, persistent_workers=False)
    loader.pop("prefetch_factor", None)
    model = MODELS.build(config.model).train()
    batch = model.data_preprocessor(next(iter(Runner.build_dataloader(loader))), True)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-5)
    choices = {name: {"bev_pool": (name,), "voxelize": ("reference",)} for name in ("torch", "reference")}
    choices = {f"auto ({available_backends('bev_pool')[0]})": dict(_backends.OPS), **choices}
    times: dict[str, list[float]] = {name: [] for name in choices}
    for turn in range(options.rounds + 1):
        for name, ops in choices.items():
            with patch.dict(_backends.OPS, ops):
                seconds = step_s(model, batch, optimizer)
            if turn:  # the first is not measured
                times[name].append(seconds)
    print(f"{options.config}: {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}, medians")
    base = statistics.median(times["reference"])
    for name, values in times.items():
        print(f"{name:14} {1e3 * statistics.median(values):7.0f} ms a step, {base / statistics.median(values):.2f}x")
    if options.out is not None:
        medians = {f"ms/{name.split()[0]}": 1e3 * statistics.median(values) for name, values in times.items()}
        options.out.write_text(json.dumps({**medians, "speedup": base * 1e3 / medians["ms/auto"]}))


if __name__ == "__main__":
    main()
