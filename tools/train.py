"""Train what a config describes, from the start or from where a killed run stood.

Several GPUs: ``torchrun --nproc-per-node 8 tools/train.py CONFIG --launcher pytorch``; on Slurm
``srun python tools/train.py CONFIG --launcher slurm``. Curves: ``tensorboard --logdir work_dirs``.
"""

import argparse
import sys
from pathlib import Path

from mmengine.config import DictAction

from mapstack.engine import build_runner, enable_amp, load_config
from mapstack.errors import MapstackError


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a file of configs/")
    parser.add_argument("--work-dir", type=Path, help="checkpoints and logs; work_dirs/<config's name> by default")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in the work directory")
    parser.add_argument("--load-from", help="start from the weights of a checkpoint or a safetensors file")
    parser.add_argument("--amp", choices=("bfloat16", "float16"), help="mixed precision; float16 needs a GPU")
    parser.add_argument("--seed", type=int, help="of weights, order and augmentation; the config's by default")
    parser.add_argument("--launcher", choices=("none", "pytorch", "slurm"), default="none")
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE", help="train_cfg.max_iters=500 ..."
    )
    return parser.parse_args()


def main() -> None:
    """Read the config, apply the command line, train."""
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    cfg.work_dir = str(args.work_dir or Path("work_dirs") / Path(args.config).stem)
    cfg.launcher = args.launcher
    cfg.resume = args.resume
    if args.load_from:
        cfg.load_from = args.load_from
    if args.seed is not None:
        cfg.randomness.seed = args.seed
    if args.amp:
        enable_amp(cfg, args.amp)
    build_runner(cfg).train()


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
