"""Time exported models in ONNX Runtime against the same model in eager PyTorch, in turn, in one run.

python tools/benchmark_runtime.py CONFIG [CHECKPOINT] --models NAME=MODEL.onnx[@PROVIDER] ... [--frames 30]
Without --models the config is exported in both forms of its pool first; where OpenVINO is installed (docs/DEPLOY.md)
it runs the faster one, too, in bfloat16 and with every layer in 8 bits as well: what those may gain at most, whatever
they do to the map. Weights do not change the time: without a checkpoint they are random.
"""

import argparse
import json
import math
import os
import tempfile
from pathlib import Path

import onnxruntime
from mmengine.config import DictAction
from mmengine.dataset import BaseDataset

from mapstack.engine import load_config
from mapstack.engine.inference import build_dataset, build_trained_model
from mapstack.export.describe import POOLS
from mapstack.export.latency import Timing, profile_stages, time_in_turn
from mapstack.export.playback import frame_from_row
from mapstack.export.providers import OPENVINO, Exported
from mapstack.export.quantization import quantize_int8
from mapstack.export.runtime import MapRuntime
from mapstack.export.trials import export_form, untrained_model


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("checkpoint", nargs="?", help="of train.py, or bare weights (.safetensors)")
    parser.add_argument("--models", nargs="+", metavar="NAME=PATH[@PROVIDER]", help="timed side by side")
    parser.add_argument("--frames", type=int, default=30, help="spread over the test data (default 30)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of both (default all cores)")
    parser.add_argument("--operators", type=int, default=12, help="slowest operators listed (default 12)")
    parser.add_argument("--out", type=Path, help="where the metrics are written as JSON")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE")
    return parser.parse_args()


def show(timings: list[Timing], base: float) -> None:
    print(f"load {os.getloadavg()[0]:.1f}; medians, milliseconds a frame\n")
    stages = list(dict.fromkeys(stage for timing in timings for stage in timing.stages_ms))
    print(f"| | {' | '.join(stages)} | network x | start-up s | peak MB |\n|---|{'--:|' * (len(stages) + 3)}")
    for timing in timings:
        cells = [f"{timing.stages_ms[stage]:.1f}" if stage in timing.stages_ms else "-" for stage in stages]
        ratio = base / timing.stages_ms["network"]
        print(f"| {timing.name} | {' | '.join(cells)} | {ratio:.2f} | {timing.start_s:.2f} | {timing.peak_mb:.0f} |")


def openvino_forms(path: Path, dataset: BaseDataset) -> dict[str, Exported]:
    """In float, in bfloat16, and in 8 bits with ranges from the first frame."""
    prepared, _ = MapRuntime(path).prepare(frame_from_row(dataset.get_data_info(0)))
    int8 = path.with_name("int8.onnx")
    quantize_int8(path, int8, [prepared], target="vnni", max_damage=math.inf)
    return {
        "openvino": Exported(path, "openvino"),
        "bf16": Exported(path, "openvino-bf16"),
        "int8": Exported(int8, "openvino"),
    }


def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    dataset = build_dataset(cfg, with_truth=False)
    model = untrained_model(cfg) if args.checkpoint is None else build_trained_model(cfg, args.checkpoint)
    with tempfile.TemporaryDirectory() as folder:
        if args.models:
            files = Exported.by_name(args.models)
        else:
            paths = {form: Path(folder) / f"{form}.onnx" for form in POOLS}
            files = {
                form: Exported(path) for form, path in paths.items() if export_form(model, cfg, dataset, path, form)
            }
            if OPENVINO in onnxruntime.get_available_providers():
                files |= openvino_forms(list(files.values())[-1].path, dataset)
        timings = time_in_turn(model, cfg, dataset, files, args.frames, args.threads)
        base = timings[0].stages_ms["network"]
        show(timings, base)
        for name, path in ((name, file.path) for name, file in files.items() if file.provider == "cpu"):
            print(f"\n{name}: share of the network's time by operator")
            for kind, share in profile_stages(path, dataset, args.threads)[: args.operators]:
                print(f"  {kind:24} {100 * share:5.1f} %")
    if args.out is not None:
        metrics = {f"ms/{t.name}/{stage}": value for t in timings for stage, value in t.stages_ms.items()}
        metrics |= {f"x/{t.name}": base / t.stages_ms["network"] for t in timings}
        metrics |= {f"start_s/{t.name}": t.start_s for t in timings} | {f"MB/{t.name}": t.peak_mb for t in timings}
        args.out.write_text(json.dumps(metrics))


if __name__ == "__main__":
    main()
