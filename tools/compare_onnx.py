"""Score exported models on a config's test data and time them, frame by frame in turn; each by a provider of its own.

python tools/compare_onnx.py CONFIG fp32=MODEL.onnx int8=INT8.onnx@openvino ... [--threads 2]
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
from mapstack.evaluation import MapMetric
from mapstack.export.playback import frame_from_row
from mapstack.export.providers import Exported
from mapstack.export.runtime import MapRuntime


def compare(files: dict[str, Exported], cfg: dict, threads: int) -> dict[str, float]:
    """For each file mAP under MapTR's protocol, the network's median ms, how many times the first's speed, and MB."""
    dataset = build_dataset(cfg)
    runtimes = {
        name: MapRuntime(path, providers=(provider,), num_threads=threads) for name, (path, provider) in files.items()
    }
    scored = {name: MapMetric(replicates=0) for name in files}
    times: dict[str, list[float]] = {name: [] for name in files}
    for place in tqdm(range(len(dataset)), desc="scoring", unit="frame"):
        sample = dataset[place]["data_samples"]
        frame = frame_from_row(dataset.get_data_info(place))
        for name, runtime in runtimes.items():
            result = runtime.process(frame)
            times[name].append(result.stages_ms["network"])
            scored[name].process(None, [{**sample.to_dict(), "pred": result.prediction}])
    metrics, medians = {}, {name: statistics.median(laps) for name, laps in times.items()}
    for name, file in files.items():
        mean_ap = scored[name].evaluate(len(dataset))["maptr/mAP"]
        metrics |= {f"mAP/{name}": mean_ap, f"ms/{name}": medians[name]}
        metrics |= {f"x/{name}": next(iter(medians.values())) / medians[name]}
        metrics |= {f"MB/{name}": file.path.stat().st_size / 1e6}
    return metrics


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="whose test data scores")
    parser.add_argument("models", nargs="+", metavar="NAME=PATH[@PROVIDER]", help="providers: docs/DEPLOY.md")
    parser.add_argument("--threads", type=int, default=0, help="of each (default ONNX Runtime's choice)")
    parser.add_argument("--out", type=Path, help="where the metrics are written as JSON")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE")
    args = parser.parse_args()
    metrics = compare(Exported.by_name(args.models), load_config(args.config, args.cfg_options), args.threads)
    print(json.dumps(metrics, indent=1))
    if args.out is not None:
        args.out.write_text(json.dumps(metrics))


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
