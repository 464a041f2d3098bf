"""Index Argoverse 2 sensor logs (or the synthetic town's): one Parquet file a part of the split."""

import argparse
import logging
import sys
from pathlib import Path

from mapstack.datasets.prepare import write_parts
from mapstack.datasets.sources import argoverse2
from mapstack.datasets.splits import ALL, choose_scenes, read_split, read_split_files, split_names
from mapstack.errors import MapstackError


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("data/argoverse2/sensor"), help="holds train, val, test")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--split", default="official", help=f"{', '.join(split_names('argoverse2'))}, {ALL}, or a folder of lists"
    )
    choice.add_argument("--split-file", type=Path, nargs="+", help="lists of log ids; the part is the file's stem")
    parser.add_argument("--out", type=Path, help="folder for PART.parquet, default data/index/argoverse2/SPLIT")
    parser.add_argument("--partial", action="store_true", help="accept a root without all logs of the split")
    parser.add_argument("--interval", type=int, default=5, help="every so-many-th 10 Hz sweep: 5 is 2 Hz, 4 MapTRv2's")
    parser.add_argument("--max-sweeps", type=int, default=10, help="LiDAR sweeps listed before each frame's own")
    parser.add_argument("--skip-broken", action="store_true", help="leave out frames with missing files or poses")
    parser.add_argument("--workers", type=int, default=4, help="processes that read logs side by side")
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    name = "custom" if options.split_file else Path(options.split).name
    out = options.out or Path("data/index/argoverse2") / name
    available = list(argoverse2.find_logs(options.root))
    if options.split_file:
        parts = read_split_files(options.split_file)
    else:
        parts = {ALL: available} if options.split == ALL else read_split("argoverse2", options.split)
    parts = choose_scenes(parts, available, allow_partial=options.partial)
    frames = argoverse2.read_frames(
        options.root,
        logs=[log for logs in parts.values() for log in logs],
        interval=options.interval,
        max_sweeps=options.max_sweeps,
        skip_broken=options.skip_broken,
        num_workers=options.workers,
        show_progress=True,
    )
    command = f"tools/prepare_argoverse2.py {' '.join(sys.argv[1:])}"
    written = write_parts(frames, parts, out, dataset="argoverse2", data_root=options.root, command=command)
    for path, count in written.items():
        print(f"{path}: {count} frames")


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
