"""Export a trained model to ONNX and check it against ONNX Runtime on frames of the config's test data."""

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from mmengine.config import DictAction
from mmengine.dataset import pseudo_collate
from torch import Tensor
from tqdm import tqdm

from mapstack.engine import load_config
from mapstack.engine.inference import build_dataset, build_trained_model
from mapstack.errors import DataError, MapstackError
from mapstack.export.describe import POOLS, plan_export
from mapstack.export.exporter import export_onnx
from mapstack.export.operators import unsupported_operators
from mapstack.export.parity import POINT_TOLERANCE_M, SCORE_TOLERANCE, check_parity


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="the config that the checkpoint was trained with")
    parser.add_argument("checkpoint", help="of train.py, or bare weights (.safetensors)")
    parser.add_argument("--out", type=Path, required=True, metavar="MODEL.onnx")
    parser.add_argument("--index", type=Path, help="index of the frames to check on, instead of the config's test data")
    parser.add_argument("--data-root", help="folder of the index's files, where it is not the one the index names")
    parser.add_argument("--frames", type=int, default=8, help="frames compared with PyTorch (default 8)")
    parser.add_argument("--pool", choices=POOLS, default="graph", help="BEV pool: see docs/DEPLOY.md (default graph)")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    dataset = build_dataset(cfg, args.index, args.data_root, with_truth=False)
    if not len(dataset):
        raise DataError(f"{dataset.ann_file} has no frame to check the export on")
    model = build_trained_model(cfg, args.checkpoint)

    def batch(places: list[int]) -> dict:
        return model.data_preprocessor(pseudo_collate([dataset[place] for place in places]))

    first = batch([0, len(dataset) - 1])  # of two: sizes of one would be taken for constants
    names = first["data_samples"][0].get("camera_names", ())
    plan = plan_export(model, first["inputs"], cfg, names, args.pool)
    example = plan.tensors(first["inputs"])
    print(f"exporting {type(model).__name__}, inputs {', '.join(example)} ...", flush=True)
    export_onnx(model, example, args.out, plan.metadata)
    step = max(len(dataset) // args.frames, 1)
    places = list(range(0, len(dataset), step))[: args.frames]

    def batches() -> Iterator[Mapping[str, Tensor]]:
        yield example  # the only batch of more than one frame
        yield from (plan.tensors(batch([place])["inputs"]) for place in tqdm(places, desc="checking", unit="frame"))

    parity = check_parity(model, args.out, batches())
    print(
        f"written: {args.out}, {args.out.stat().st_size / 1e6:.1f} MB; over {parity.num_frames} frames ONNX Runtime "
        f"differs by at most {parity.point_error_m * 1000:.4f} mm (allowed {POINT_TOLERANCE_M * 1000:g}) and "
        f"{parity.score_error:.2g} in score (allowed {SCORE_TOLERANCE:g})"
    )
    refused = ", ".join(f"{count} {name}" for name, count in unsupported_operators(args.out).items())
    print(f"TensorRT's parser does not list: {refused or 'nothing'} (docs/TENSORRT_OPERATORS.md)")


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
