"""Score a checkpoint on its config's test frames: DIR/metrics.json and DIR/predictions.json (submission form)."""

import argparse
import sys
from pathlib import Path

from mmengine.config import DictAction

from mapstack.engine import evaluate_checkpoint, load_config
from mapstack.errors import MapstackError


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="the config that the checkpoint was trained with")
    parser.add_argument("checkpoint", help="of train.py, or bare weights (.safetensors)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the results are written")
    parser.add_argument("--launcher", choices=("none", "pytorch", "slurm"), default="none")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE")
    return parser.parse_args()


def main() -> None:
    """Score and say where the results are."""
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    metrics = evaluate_checkpoint(cfg, args.checkpoint, args.out)
    for name, value in metrics.items():
        if "@" not in name:  # scores at one threshold are in the file
            print(f"{name} {value:.4f}")
    print(f"written: {args.out}/metrics.json, {args.out}/predictions.json")


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
