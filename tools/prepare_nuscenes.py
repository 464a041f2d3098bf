"""Index nuScenes (or the synthetic town's nuScenes files): one Parquet file a part of the split."""

import argparse
import logging
import sys
from pathlib import Path

from mapstack.datasets.prepare import write_parts
from mapstack.datasets.sources import nuscenes
from mapstack.datasets.splits import ALL, choose_scenes, read_split, read_split_files, split_names
from mapstack.errors import MapstackError


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("data/nuscenes"), help="holds v1.0-*, samples, maps")
    parser.add_argument("--version", nargs="+", default=["v1.0-trainval"], help="table folders, several are joined")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--split", default="official", help=f"{', '.join(split_names('nuscenes'))}, {ALL}, or a folder of lists"
    )
    choice.add_argument("--split-file", type=Path, nargs="+", help="lists of scene names; the part is the file's stem")
    parser.add_argument("--out", type=Path, help="folder for PART.parquet, default data/index/nuscenes/SPLIT")
    parser.add_argument("--partial", action="store_true", help="accept a root without all scenes of the split")
    parser.add_argument("--max-sweeps", type=int, default=10, help="LiDAR sweeps listed before each keyframe")
    parser.add_argument("--geojson-maps", type=Path, help="folder of SCENE.geojson to use instead of the map expansion")
    parser.add_argument("--skip-broken", action="store_true", help="leave out frames whose files are missing")
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    name = "custom" if options.split_file else Path(options.split).name
    out = options.out or Path("data/index/nuscenes") / name
    available = {scene: version for version in options.version for scene in nuscenes.scene_names(options.root, version)}
    if options.split_file:
        parts = read_split_files(options.split_file)
    else:
        parts = {ALL: list(available)} if options.split == ALL else read_split("nuscenes", options.split)
    parts = choose_scenes(parts, available, allow_partial=options.partial)
    frames = []
    for version in options.version:
        scenes = [scene for names in parts.values() for scene in names if available[scene] == version]
        if scenes:
            frames += nuscenes.read_frames(
                options.root,
                version,
                scenes=scenes,
                max_sweeps=options.max_sweeps,
                geojson_maps=options.geojson_maps,
                skip_broken=options.skip_broken,
                show_progress=True,
            )
    command = f"tools/prepare_nuscenes.py {' '.join(sys.argv[1:])}"
    written = write_parts(frames, parts, out, dataset="nuscenes", data_root=options.root, command=command)
    for path, count in written.items():
        print(f"{path}: {count} frames")


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
