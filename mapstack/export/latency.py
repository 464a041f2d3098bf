"""What a frame costs, stage by stage, in ONNX Runtime and in eager PyTorch; start-up and memory in processes apart."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mmengine import Config
from mmengine.dataset import BaseDataset
from numpy.typing import NDArray
from torch import Tensor, nn

from .playback import frame_from_row
from .providers import Exported
from .runtime import MapRuntime
from .trials import example_batch

__all__ = ["Timing", "profile_stages", "time_in_turn"]

BLOCK = 10  # frames that one runs before it is the next one's turn; the first of them is not timed
# One process each, so that neither pays for what the other imported.
CHILD = """
import json, sys, time
start = time.perf_counter()
import numpy as np
from mapstack.export.runtime import MapRuntime
runtime = MapRuntime(sys.argv[1], providers=(sys.argv[4],), num_threads=int(sys.argv[3]))
seconds = time.perf_counter() - start
runtime.run(dict(np.load(sys.argv[2])))
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([seconds, int(peak.split()[1]) / 1024]))
"""
TORCH_CHILD = """
import json, sys, time
start = time.perf_counter()
import numpy as np, torch
from mapstack.engine import load_config
from mapstack.export.trials import untrained_model
torch.set_num_threads(int(sys.argv[3]))
model = untrained_model(load_config(sys.argv[1]))
seconds = time.perf_counter() - start
with torch.no_grad():
    model.forward_export(**{name: torch.from_numpy(value) for name, value in np.load(sys.argv[2]).items()})
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([seconds, int(peak.split()[1]) / 1024]))
"""


@dataclass(frozen=True)
class Timing:
    """One way to run a model.

    Args:
        name: "pytorch", or of the exported file.
        stages_ms: median of each stage; "network", by itself, is in all; "frame" is the sum of a runtime's stages with
            the network among them.
        start_s: imports, building and loading, in a fresh process.
        peak_mb: peak resident memory of that process after one frame.
    """

    name: str
    stages_ms: Mapping[str, float]
    start_s: float
    peak_mb: float


def time_in_turn(
    model: nn.Module, cfg: Config, dataset: BaseDataset, files: Mapping[str, Exported], frames: int, threads: int
) -> list[Timing]:
    """Run frames through PyTorch and each file in turn, a block at a time, so that a busy moment hits all alike.

    Args:
        model: in eval mode; what the files were exported from.
        cfg: its config.
        dataset: the frames; ``frames`` of it are spread over all.
        files: by the name of their timing.
        frames: to run; at least two.
        threads: of both.

    Returns:
        PyTorch first, then the files in order.
    """
    torch.set_num_threads(threads)
    runtimes = {
        name: MapRuntime(path, providers=(provider,), num_threads=threads) for name, (path, provider) in files.items()
    }
    laps: dict[str, list[Mapping[str, float]]] = {name: [] for name in ("pytorch", *files)}
    places = np.linspace(0, len(dataset) - 1, frames).astype(int).tolist()
    for start in range(0, frames, BLOCK):
        block = [(frame_from_row(dataset.get_data_info(place)), _tensors(model, dataset, place))
                 for place in places[start : start + BLOCK]]  # fmt: skip
        for name in laps:
            stages: list[dict[str, float]] = [{} for _ in block]
            calls = [partial(model.forward_export, **tensors) for _, tensors in block]
            if name != "pytorch":
                runtime = runtimes[name]
                stages = [dict(runtime.process(frame).stages_ms) for frame, _ in block]
                calls = [partial(runtime.run, runtime.prepare(frame)[0]) for frame, _ in block]
            # The networks alone run one call after the other, on both sides with nothing else in between.
            for number, (lap, call) in enumerate(zip(stages, calls, strict=True)):
                if lap:
                    lap["frame"] = sum(lap.values())
                lap["network"] = _milliseconds(call)
                if number:  # the first finds the caches full of the others' data, and their workers still awake
                    laps[name].append(lap)
    medians = {
        name: {stage: statistics.median(lap[stage] for lap in own) for stage in own[0]} for name, own in laps.items()
    }
    costs = {}
    frame, tensors = block[-1]
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "inputs.npz"
        for name, runtime in runtimes.items():
            runtime.reset()
            prepared, _ = runtime.prepare(frame)
            saved = _saved(inputs, prepared, runtime.input_names)
            costs[name] = _child(CHILD, files[name].path, saved, threads, files[name].provider)
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        config = Path(folder) / "config.py"
        config.write_text(cfg.pretty_text)
        costs["pytorch"] = _child(TORCH_CHILD, config, _saved(inputs, arrays, list(arrays)), threads)
    return [Timing(name, medians[name], *costs[name]) for name in laps]


def _tensors(model: nn.Module, dataset: BaseDataset, place: int) -> dict[str, Tensor]:
    return model.export_inputs(example_batch(model, dataset, [place])["inputs"])


@torch.no_grad()
def _milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def _saved(path: Path, arrays: Mapping[str, NDArray], names: Sequence[str]) -> str:
    np.savez(path, **{name: arrays[name] for name in names})
    return str(path)


def _child(code: str, *arguments: object) -> tuple[float, float]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, peak_mb = json.loads(done.stdout.splitlines()[-1])
    return seconds, peak_mb


def profile_stages(path: Path, dataset: BaseDataset, threads: int, rounds: int = 5) -> list[tuple[str, float]]:
    """Share of the network's time by kind of operator, largest first, as ONNX Runtime's own trace has it."""
    with tempfile.TemporaryDirectory() as folder:
        runtime = MapRuntime(path, num_threads=threads, profile=Path(folder) / "trace")
        frame = frame_from_row(dataset.get_data_info(0))
        for _ in range(rounds):
            runtime.reset()
            runtime.process(frame)
        events = json.loads(runtime.end_profiling().read_text())
    spent: Counter[str] = Counter()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            spent[event["args"]["op_name"]] += event["dur"]
    total = sum(spent.values())
    return [(kind, duration / total) for kind, duration in spent.most_common()]
