"""Write an FP16 or INT8 form of an exported model, say what it loses on the config's test data and what it gains.

python tools/quantize_onnx.py MODEL.onnx CONFIG --precision int8 --out MODEL.int8.onnx [--score]
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

from mmengine.config import DictAction
from tqdm import tqdm

from mapstack.engine import load_config
from mapstack.engine.inference import build_dataset
from mapstack.errors import MapstackError
from mapstack.evaluation import Options, evaluate
from mapstack.export.playback import frame_from_row
from mapstack.export.quantization import TARGETS, quantize_int8, to_float16
from mapstack.export.runtime import MapRuntime


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="what tools/export_onnx.py wrote")
    parser.add_argument("config", help="whose test data calibrates and scores")
    parser.add_argument("--precision", choices=["fp16", "int8"], required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="MODEL.onnx")
    parser.add_argument("--target", choices=TARGETS, default="cpu", help="form of the 8-bit graph (default cpu)")
    parser.add_argument("--frames", type=int, default=24, help="that INT8 is calibrated on (default 24)")
    parser.add_argument("--max-damage", type=float, default=0.3, help="see docs/DEPLOY.md (default 0.3)")
    parser.add_argument("--score", action="store_true", help="score both on the test data, and time them in turn")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where the metrics are written")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE")
    return parser.parse_args()


def score(paths: dict[str, Path], cfg: dict, threads: int) -> dict[str, float]:
    """Score each model under MapTR's protocol, and time it, frame by frame in turn."""
    dataset = build_dataset(cfg)
    runtimes = {name: MapRuntime(path, num_threads=threads) for name, path in paths.items()}
    found: dict[str, dict] = {name: {} for name in paths}
    times: dict[str, list[float]] = {name: [] for name in paths}
    truth = {}
    for place in tqdm(range(len(dataset)), desc="scoring", unit="frame"):
        sample = dataset[place]["data_samples"]
        lines = [line[:, :2] for line in sample.gt.vertices]
        truth[sample.token] = {"vectors": lines, "labels": sample.gt.labels.numpy()}
        frame = frame_from_row(dataset.get_data_info(place))
        for name, runtime in runtimes.items():
            result = runtime.process(frame)
            times[name].append(result.stages_ms["network"])
            seen = result.prediction
            vectors = {"vectors": list(seen.points), "labels": seen.labels, "scores": seen.scores}
            found[name][sample.token] = vectors
    metrics = {}
    for name in paths:
        result = evaluate(found[name], truth, classes=tuple(cfg.classes), options=Options(replicates=0))
        metrics |= {f"mAP/{name}": result.map, f"ms/{name}": statistics.median(times[name])}
    return metrics


def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    if args.precision == "fp16":
        to_float16(args.model, args.out)
    else:
        dataset, runtime = build_dataset(cfg, with_truth=False), MapRuntime(args.model)
        frames = []
        for place in range(0, len(dataset), max(len(dataset) // args.frames, 1)):
            frames.append(runtime.prepare(frame_from_row(dataset.get_data_info(place)))[0])
        groups = quantize_int8(args.model, args.out, frames[: args.frames], target=args.target,
                               max_damage=args.max_damage, report=print)  # fmt: skip
        print(f"left in float: {', '.join(name for name, damage in groups.items() if damage < 0) or 'nothing'}")
    sizes = {"MB/fp32": args.model.stat().st_size / 1e6, f"MB/{args.precision}": args.out.stat().st_size / 1e6}
    metrics = sizes | (score({"fp32": args.model, args.precision: args.out}, cfg, args.threads) if args.score else {})
    print(json.dumps(metrics, indent=1))
    if args.json is not None:
        args.json.write_text(json.dumps(metrics))


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
