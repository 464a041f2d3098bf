"""Write a checkpoint's weights alone, as safetensors: small, safe to open, and taken for a checkpoint by every tool."""

import argparse
import sys
from pathlib import Path

from mapstack.engine.checkpoints import load_checkpoint_file, save_weights, weights_of
from mapstack.errors import MapstackError


def main() -> None:
    """Read, shrink, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="of train.py; the averaged weights where the run kept an average")
    parser.add_argument("--out", type=Path, required=True, metavar="WEIGHTS.safetensors")
    parser.add_argument("--half", action="store_true", help="matrices and kernels as float16: half the size")
    parser.add_argument("--without", nargs="+", default=[], metavar="PART.", help="leave out weights beginning so")
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    weights = weights_of(load_checkpoint_file(args.checkpoint, map_location="cpu"))
    weights = {key: value for key, value in weights.items() if not key.startswith(tuple(args.without))}
    save_weights({"state_dict": weights}, args.out, half=args.half)
    print(f"written: {args.out}, {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
