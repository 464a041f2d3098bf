"""Export a config in every form and compare ONNX Runtime with PyTorch: the test frames, the real keyframe, the mAP.

python tools/check_export.py CONFIG [CHECKPOINT] [--frames 50] [--score] [--out metrics.json]
Without a checkpoint the weights are random. The real keyframe is looked for in $MAPSTACK_SHARED (default ../shared).
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from mmengine.config import DictAction
from mmengine.dataset import BaseDataset, pseudo_collate
from torch import nn
from tqdm import tqdm

from mapstack.datasets.index import write_index
from mapstack.datasets.sources.detect import read_unlabelled
from mapstack.engine import load_config
from mapstack.engine.inference import build_dataset, build_trained_model
from mapstack.engine.streaming import predict_next
from mapstack.errors import MapstackError
from mapstack.evaluation import MapMetric
from mapstack.export.describe import POOLS
from mapstack.export.operators import unsupported_operators
from mapstack.export.parity import measure_parity
from mapstack.export.playback import frame_from_row
from mapstack.export.runtime import MapRuntime
from mapstack.export.trials import export_form, parity_batches, untrained_model

KEYFRAME = Path(os.environ.get("MAPSTACK_SHARED", "../shared")) / "data/nuscenes_keyframe"


def scores(model: nn.Module, path: Path, dataset: BaseDataset) -> dict[str, float]:
    """Score PyTorch and the file under MapTR's protocol."""
    runtime, state = MapRuntime(path), None
    scored = {name: MapMetric(replicates=0) for name in ("pytorch", "onnx")}
    for place in tqdm(range(len(dataset)), desc="scoring", unit="frame"):
        with torch.no_grad():
            (sample,), state = predict_next(model, pseudo_collate([dataset[place]]), state)
        scored["pytorch"].process(None, [sample.to_dict()])
        seen = runtime.process(frame_from_row(dataset.get_data_info(place))).prediction
        scored["onnx"].process(None, [{**sample.to_dict(), "pred": seen}])
    return {f"mAP/{name}": metric.evaluate(len(dataset))["maptr/mAP"] for name, metric in scored.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("checkpoint", nargs="?")
    parser.add_argument("--frames", type=int, default=50, help="compared (default 50), spread over the test data")
    parser.add_argument("--score", action="store_true", help="score both on all of the test data")
    parser.add_argument("--out", type=Path, help="where the metrics are written as JSON")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE")
    args = parser.parse_args()
    cfg, metrics = load_config(args.config, args.cfg_options), {}
    model = untrained_model(cfg) if args.checkpoint is None else build_trained_model(cfg, args.checkpoint)
    with tempfile.TemporaryDirectory() as folder:
        datasets = {"town": build_dataset(cfg, with_truth=False)}
        if KEYFRAME.is_dir():
            frames, kind, root = read_unlabelled(KEYFRAME)
            write_index(Path(folder) / "keyframe.parquet", frames, dataset=kind, data_root=root)
            datasets["keyframe"] = build_dataset(cfg, Path(folder) / "keyframe.parquet", with_truth=False)
        for form in POOLS:
            path = Path(folder) / f"{form}.onnx"
            plan = export_form(model, cfg, datasets["town"], path, form)
            if plan is None:
                continue
            for name, dataset in datasets.items():
                places = np.linspace(0, len(dataset) - 1, min(args.frames, len(dataset))).astype(int).tolist()
                parity = measure_parity(model, path, parity_batches(model, plan, dataset, places))
                metrics |= {
                    f"mm/{form}/{name}": 1000 * parity.point_error_m,
                    f"score/{form}/{name}": parity.score_error,
                    f"ties/{form}/{name}": parity.num_ties,
                }
                print(f"{form}, {name}: {parity}", flush=True)
            metrics[f"tensorrt/{form}"] = sum(unsupported_operators(path).values())
            metrics[f"MB/{form}"] = path.stat().st_size / 1e6
            if args.score and "mAP/onnx" not in metrics:
                metrics |= scores(model, path, build_dataset(cfg))
    print(json.dumps(metrics, indent=1))
    if args.out is not None:
        args.out.write_text(json.dumps(metrics))


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
