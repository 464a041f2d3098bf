"""Place OpenStreetMap's streets on drives, measure how well they lie there, and draw them.

Without --index on the real recordings of --shared, with it on every scene of an index, by the streets of --osm.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from mapstack.datasets.example_drives import example_drives
from mapstack.datasets.index import read_index
from mapstack.datasets.sources import nuscenes
from mapstack.errors import MapstackError
from mapstack.geometry.grid import BEVGrid
from mapstack.maps import VectorMap, load_map, load_osm
from mapstack.maps.placement import drivable_surface, measure_placement
from mapstack.maps.prior_lines import PriorLines
from mapstack.visualization.frame import load_views
from mapstack.visualization.prior import draw_placement, draw_prior_views

GRID = BEVGrid((-100.0, -50.0, -5.0, 100.0, 50.0, 3.0), 0.5)
LIMIT_M = 50.0


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="default ../shared")
    parser.add_argument("--index", type=Path, help="an index of one's own instead; its frames have a map")
    parser.add_argument("--osm", type=Path, help="with --index: the street map, in any format of load_osm")
    parser.add_argument("--out", type=Path, help="folder for pictures; none are drawn without")
    parser.add_argument("--drive", help="only this one")
    parser.add_argument("--metrics", type=Path, metavar="FILE", help="write the last drive's numbers as JSON")
    return parser.parse_args()


def shared_drives(data: Path, name: str | None) -> Iterator[tuple[str, VectorMap, np.ndarray, PriorLines]]:
    for drive in example_drives(data, name):
        track = drive.world_from_ego[:, :2, 3]
        yield drive.name, drive.vector_map, track[::10] if drive.source == "Argoverse 2" else track, drive.streets()


def index_drives(args: argparse.Namespace) -> Iterator[tuple[str, VectorMap, np.ndarray, PriorLines]]:
    index, scenes = read_index(args.index), {}
    for row in range(len(index)):
        frame = index.frame(row)
        scenes.setdefault(frame["scene"], []).append(frame)
    for name, frames in scenes.items():
        if args.drive not in (None, name):
            continue
        kind, root, called = (frames[0][key] for key in ("map_kind", "map_root", "map_name"))
        streets = PriorLines.from_streets(load_osm(args.osm, frames[0]["location"], cut_at_missing=True))
        track = np.array([frame["world_from_ego"][:2, 3] for frame in frames])
        yield name, load_map(kind, index.data_root / root, called or ""), track, streets


def draw_keyframe(data: Path, streets: PriorLines, path: Path) -> None:
    frame = nuscenes.read_frames(data / "nuscenes_keyframe", "v1.0-mini")[0]
    cameras = [camera | {"path": data / "nuscenes_keyframe" / camera["path"]} for camera in frame["cameras"]]
    cv2.imwrite(str(path), draw_prior_views(load_views(cameras), streets, frame["world_from_ego"], GRID)[..., ::-1])


def main() -> None:
    args = parse_args()
    data = args.shared / "data"
    print("drive                                 ego to street, m: median    p90    max   samples  on the road")
    for name, vector_map, track, streets in index_drives(args) if args.index else shared_drives(data, args.drive):
        streets.require_near(track, LIMIT_M)
        found = measure_placement(streets, track, drivable_surface(vector_map))
        numbers = f"{found.median_m:6.2f} {found.p90_m:6.2f} {found.max_m:6.2f}"
        print(f"{name:<53}{numbers} {found.num_samples:9d} {found.share_inside:12.1%}")
        if args.metrics:
            args.metrics.write_text(json.dumps(asdict(found)))
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            picture = draw_placement(vector_map, streets, track, GRID, name)
            cv2.imwrite(str(args.out / f"{name}.png"), picture[..., ::-1])
            if name == "scene-0061" and not args.index:
                draw_keyframe(data, streets, args.out / f"{name}-cameras.jpg")


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
