"""Index a recording of one's own, in the plain files that docs/DATA.md describes."""

import argparse
import logging
import sys
from pathlib import Path

from mapstack.datasets.prepare import write_parts
from mapstack.datasets.sources import recording
from mapstack.datasets.splits import ALL, choose_scenes, read_split_files
from mapstack.errors import MapstackError


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="a recording, or a folder of recordings")
    parser.add_argument("--split-file", type=Path, nargs="+", help="lists of recordings' names: train.txt val.txt")
    parser.add_argument("--out", type=Path, required=True, help="folder for PART.parquet, all.parquet without a split")
    parser.add_argument("--interval", type=int, default=1, help="keep every so-many-th LiDAR sweep or image")
    parser.add_argument("--max-sweeps", type=int, default=10, help="LiDAR sweeps listed before each frame's own")
    parser.add_argument("--max-camera-lag-s", type=float, default=0.06, help="largest gap between image and frame")
    parser.add_argument("--skip-broken", action="store_true", help="leave out frames that lack an image or a pose")
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    names = [folder.name for folder in recording.find_recordings(options.root)]
    parts = {ALL: names}
    if options.split_file:
        parts = choose_scenes(read_split_files(options.split_file), names, allow_partial=False)
    frames = recording.read_frames(
        options.root,
        interval=options.interval,
        max_sweeps=options.max_sweeps,
        max_camera_lag_s=options.max_camera_lag_s,
        skip_broken=options.skip_broken,
    )
    command = f"tools/prepare_recording.py {' '.join(sys.argv[1:])}"
    written = write_parts(frames, parts, options.out, dataset="recording", data_root=options.root, command=command)
    for path, count in written.items():
        print(f"{path}: {count} frames")


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
