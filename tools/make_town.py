"""Grow the synthetic town: nuScenes and Argoverse 2 files, OpenStreetMap and an aged map, all of one world; index it.

Leaves OUT/index/{train,val}.parquet for the nuScenes drives and OUT/index/argoverse2/{train,val}.parquet for the logs.
"""

import argparse
import sys
from pathlib import Path

from mapstack.datasets.prepare import write_parts
from mapstack.datasets.sources import argoverse2, nuscenes
from mapstack.datasets.splits import read_split_files
from mapstack.datasets.town import SIZES, TownPaths, make_town
from mapstack.errors import MapstackError

LOG_INTERVAL = 5  # every fifth 10 Hz sweep: 2 Hz, as the nuScenes keyframes


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out_dir", type=Path, nargs="?", default=Path("data/town"), help="default data/town")
    parser.add_argument("--seed", type=int, default=0, help="another seed grows another town")
    parser.add_argument("--size", default="small", choices=SIZES, help="see docs/TOWN.md")
    parser.add_argument("--num-workers", type=int, default=2, help="processes that render; 0 renders in this one")
    return parser.parse_args()


def write_indexes(paths: TownPaths, command: str) -> dict[Path, int]:
    parts = read_split_files(list(paths.splits.values()))
    frames = nuscenes.read_frames(paths.nuscenes, scenes=[scene for names in parts.values() for scene in names])
    index = paths.root / "index"
    written = write_parts(frames, parts, index, dataset="nuscenes", data_root=paths.nuscenes, command=command)
    parts = {part: [log.name for log in sorted((paths.argoverse2 / part).iterdir())] for part in paths.splits}
    frames = argoverse2.read_frames(paths.argoverse2, interval=LOG_INTERVAL)
    return written | write_parts(
        frames, parts, index / "argoverse2", dataset="argoverse2", data_root=paths.argoverse2, command=command
    )


def main() -> None:
    options = parse_arguments()
    paths = make_town(
        options.out_dir,
        seed=options.seed,
        size=options.size,
        num_workers=options.num_workers,
        show_progress=True,
    )
    for path, count in write_indexes(paths, f"tools/make_town.py {' '.join(sys.argv[1:])}").items():
        print(f"{path}: {count} frames")


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
