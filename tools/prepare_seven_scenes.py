"""Index a folder of images and poses in the layout of 7-Scenes: one Parquet file a part of its split files."""

import argparse
import sys
from pathlib import Path

from mapstack.datasets.prepare import write_parts
from mapstack.datasets.sources import seven_scenes
from mapstack.errors import MapstackError


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="a scene's folder: seq-01, TrainSplit.txt, ...")
    parser.add_argument("--out", type=Path, help="folder for PART.parquet, default data/index/7scenes/SCENE")
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    out = options.out or Path("data/index/7scenes") / options.root.resolve().name
    frames = seven_scenes.read_frames(options.root)
    parts = seven_scenes.read_parts(options.root)
    command = f"tools/prepare_seven_scenes.py {' '.join(sys.argv[1:])}"
    written = write_parts(frames, parts, out, dataset="recording", data_root=options.root, command=command)
    for path, count in written.items():
        print(f"{path}: {count} frames")


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
