"""Turn predictions of drives into a store of drive maps, which later drives ask by pose (LoadPriors, DrivePrior).

Only predictions, poses and times are read: no map and no truth. Several processes may write into one store.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import shapely

from mapstack.datasets.index import read_index
from mapstack.errors import DataError, MapstackError
from mapstack.evaluation import open_submission
from mapstack.geometry.se3 import planar_pose
from mapstack.maps import CLASSES
from mapstack.maps.clip import patch_in_world
from mapstack.maps.drive_merge import Observation, merge
from mapstack.maps.drives import DriveMap, DriveStore


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictions", type=Path, help="predictions.json of tools/test.py or tools/infer.py")
    parser.add_argument("index", type=Path, help="the index of the same frames")
    parser.add_argument("--out", type=Path, required=True, metavar="STORE", help="folder of the store")
    parser.add_argument("--size-m", type=float, nargs=2, default=(60.0, 30.0), help="the patch, along x and along y")
    parser.add_argument("--classes", nargs="+", help="in label order, where the file does not say")
    parser.add_argument("--min-score", type=float, default=0.2, help="of a prediction to be used (default 0.2)")
    parser.add_argument("--reach-m", type=float, default=1.5, help="closer parallel lines are the same (default 1.5)")
    return parser.parse_args()


def observe(entry: dict, frame: dict, classes: list[str], size_m: tuple[float, float], min_score: float) -> Observation:
    token = frame["token"]
    if entry.get("scores") is None:
        raise DataError(f"token {token} has no scores: it is truth, which no drive can have seen; name predictions")
    pose = planar_pose(frame["world_from_ego"])
    kept = np.flatnonzero(np.asarray(entry["scores"], dtype=float) >= min_score)
    lines = [np.asarray(entry["vectors"][i], dtype=float)[:, :2] @ pose[:2, :2].T + pose[:2, 3] for i in kept]
    box = (-size_m[0] / 2, -size_m[1] / 2, size_m[0] / 2, size_m[1] / 2)
    return Observation(
        lines=lines,
        names=[classes[int(entry["labels"][i])] for i in kept],
        scores=np.asarray(entry["scores"], dtype=float)[kept],
        coverage=patch_in_world(pose, box),
        center=pose[:2, 3],
    )


def main() -> None:
    args = parse_args()
    submission, index = open_submission(args.predictions, "predictions"), read_index(args.index)
    classes = list(args.classes or submission.meta.get("classes") or ())
    if not classes or set(classes) - set(CLASSES):
        raise DataError(f"{args.predictions}: classes are {classes}, must be of {CLASSES}; name them with --classes")
    known, scenes = set(submission.tokens), {}
    for row in range(len(index)):
        frame = index.frame(row)
        if frame["token"] in known:
            scenes.setdefault(frame["scene"], []).append(frame)
    if not scenes:
        raise DataError(f"{args.predictions} and {args.index} share no frame; name the index that was predicted on")
    store = DriveStore(args.out, create=True)
    for scene, frames in sorted(scenes.items()):
        frames.sort(key=lambda frame: frame["timestamp_ns"])
        seen = [
            observe(submission.entry(frame["token"]), frame, classes, args.size_m, args.min_score) for frame in frames
        ]
        merged = merge(seen, reach_m=args.reach_m)
        drive = DriveMap(
            drive=scene,
            location=frames[0]["location"],
            start_ns=frames[0]["timestamp_ns"],
            end_ns=frames[-1]["timestamp_ns"],
            merged=merged,
            coverage=shapely.union_all([observation.coverage for observation in seen]),
        )
        tiles = store.write(drive)
        print(f"{scene}: {len(frames)} frames, {len(merged.lines)} elements in {tiles} tiles")


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
