"""Correct noisy poses of real drives against real maps: nuScenes extracts and Argoverse 2 logs of ../shared/data.

The vehicle's detections are simulated from the true map (no sensor data): misses, cuts, offsets and inventions are
printed. Errors are medians, metres and degrees: distance (along, across the road), heading; reported, aligned frame by
frame, and joined by odometry over a window that ends with the frame.
"""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mapstack.datasets.trajectories import read_argoverse2_trajectory, read_ego_track
from mapstack.errors import DataError, MapstackError
from mapstack.evaluation.map_alignment import AlignmentTrial, align_drive, planar_errors
from mapstack.maps import VectorMap, load_argoverse2, load_geojson

STAGES = ("reported", "aligned", "fused")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("MAPSTACK_SHARED", "../shared")) / "data")
    parser.add_argument("--sigma-m", type=float, default=2.0, help="of the reported place along x and y")
    parser.add_argument("--heading-deg", type=float, default=2.0, help="of the reported heading")
    parser.add_argument("--miss", type=float, default=0.3, help="share of the lines that are not detected")
    parser.add_argument("--classes", nargs="+", default=["divider", "boundary"])
    parser.add_argument("--interval-s", type=float, default=0.5, help="from frame to frame")
    parser.add_argument("--max-frames", type=int, default=40, help="of a drive")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def find_drives(data: Path) -> list[tuple[str, VectorMap, np.ndarray, np.ndarray]]:
    drives = []
    for path in sorted((data / "nuscenes_maps").glob("*.geojson")):
        drives.append((f"nuScenes {path.stem}", load_geojson(path), *read_ego_track(path.with_suffix(".ego.json"))))
    for log in sorted((data / "argoverse2/sensor/val").glob("*")):
        drives.append((f"Argoverse 2 {log.name[:8]}", load_argoverse2(log), *read_argoverse2_trajectory(log)))
    if not drives:
        raise DataError(f"no maps with drives under {data}; set --data")
    return drives


def row(name: str, errors: dict[str, np.ndarray], percentile: float = 50) -> str:
    cells = []
    for stage in STAGES:
        distance, along, across, heading = np.percentile(errors[stage], percentile, axis=0)
        cells.append(f"{distance:5.2f} ({along:4.2f}, {across:4.2f}) {heading:4.2f}")
    return f"{name:22} {len(errors['aligned']):6}   " + "   ".join(cells)


def main() -> None:
    args = parse_arguments()
    base = AlignmentTrial(args.sigma_m, args.heading_deg, classes=tuple(args.classes))
    trial = replace(base, detections=replace(base.detections, miss=args.miss))
    print(f"sigma {args.sigma_m:g} m, heading {args.heading_deg:g} deg, seed {args.seed}, {', '.join(args.classes)}")
    print(f"{trial.detections}\n{trial.odometry}, {trial.range_m[0]:g} x {trial.range_m[1]:g} m in view")
    print(f"{'drive':22} {'frames':>6}   " + "   ".join(f"{stage + ', m and deg':23}" for stage in STAGES))
    everything: dict[str, list[np.ndarray]] = {stage: [] for stage in STAGES}
    for number, (name, vector_map, times_s, poses) in enumerate(tqdm(find_drives(args.data), disable=None)):
        wanted = np.arange(times_s[0], times_s[-1], args.interval_s)[: args.max_frames]
        rows = np.searchsorted(times_s, wanted)
        result = align_drive(vector_map, poses[rows], times_s[rows], trial, 1000 * args.seed + number)
        errors = {stage: planar_errors(result[stage], result["true"]) for stage in STAGES}
        tqdm.write(row(name, errors))
        for stage in STAGES:
            everything[stage].append(errors[stage])
    joined = {stage: np.concatenate(rows) for stage, rows in everything.items()}
    print(row("all", joined))
    print(row("all, 90th percentile", joined, 90))


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
