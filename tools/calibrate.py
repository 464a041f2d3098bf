"""Measure how true the predicted point uncertainties are on held-out frames, and write weights that are calibrated.

python tools/calibrate.py CONFIG --checkpoint FILE [--out JSON] [--picture PNG] [--weights calibrated.safetensors]

Without a checkpoint the config is trained first, below --work-dir, and a training that was killed goes on.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mapstack.engine import load_config, save_weights
from mapstack.engine.checkpoints import latest_checkpoint
from mapstack.engine.inference import build_trained_model
from mapstack.errors import DataError, MapstackError
from mapstack.evaluation.reliability import best_factor, cross_fitted_factors, point_errors, reliability
from mapstack.visualization.reliability import write_reliability

NUMBERS = ("expected_calibration_error", "log_likelihood", "mean_scale_m", "mean_error_m", "num_coordinates")


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="of a decoder with uncertainty=True")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/calibrate"))
    parser.add_argument("--out", type=Path, help="JSON of the numbers, as trained and calibrated")
    parser.add_argument("--picture", type=Path, help="PNG of the reliability diagram")
    parser.add_argument("--weights", type=Path, help="write the weights with the factor fitted on all these frames")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="of the training")
    return parser.parse_args()


def trained(args: argparse.Namespace) -> Path:
    """The checkpoint that was named, or that of a training made now."""
    if args.checkpoint is not None:
        return args.checkpoint
    command = [sys.executable, "tools/train.py", args.config, "--work-dir", str(args.work_dir)]
    command += ["--resume"] if latest_checkpoint(args.work_dir) else []
    subprocess.run([*command, *(["--cfg-options", *args.cfg_options] if args.cfg_options else [])], check=True)
    return Path(latest_checkpoint(args.work_dir))


def errors_on_test(config: str, checkpoint: Path) -> tuple[torch.nn.Module, list[np.ndarray]]:
    """The model, and errors, scales and scene numbers over all coordinates of the test frames."""
    cfg = load_config(config)
    init_default_scope("mapstack")
    model = build_trained_model(cfg, checkpoint)
    loader = Runner.build_dataloader({**cfg.test_dataloader, "num_workers": 0, "persistent_workers": False})
    parts, scenes = [], {}
    for batch in loader:
        with torch.no_grad():
            samples = model.test_step(batch)
        for sample in samples:
            errors, scales = point_errors(sample.pred, sample.gt)
            parts.append((errors, scales, np.full(len(errors), scenes.setdefault(sample.scene, len(scenes)))))
    found = [np.concatenate(part) for part in zip(*parts, strict=True)]
    if not len(found[0]):
        raise DataError(f"{checkpoint}: no prediction comes near the truth of {len(parts)} frames; train it for longer")
    return model, found


def main() -> None:
    """Measure, print, write."""
    args = parse_args()
    model, (errors, scales, scenes) = errors_on_test(args.config, trained(args))
    factors = cross_fitted_factors(errors, scales, scenes)
    curves = {"as trained": reliability(errors, scales), "calibrated": reliability(errors, scales * factors)}
    metrics = {}
    for name, curve in curves.items():
        numbers = {key: getattr(curve, key) for key in NUMBERS}
        print(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in numbers.items()))
        metrics |= {f"{name.replace(' ', '_')}/{key}": value for key, value in numbers.items()}
    factor = best_factor(errors, scales)
    print(f"factor {factor:.3f}; 'calibrated' uses the factor of the other half of the scenes")
    if args.out is not None:
        args.out.write_text(json.dumps({**metrics, "factor": factor}, indent=1) + "\n")
    if args.picture is not None:
        write_reliability({name: vars(curve) for name, curve in curves.items()}, args.picture)
    if args.weights is not None:
        model.decoder.scale.factor.mul_(factor)
        save_weights({"state_dict": model.state_dict()}, args.weights)


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
