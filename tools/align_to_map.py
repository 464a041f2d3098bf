"""Correct noisy poses of real drives against real maps, or OpenStreetMap: nuScenes and Argoverse 2 in ../shared/data.

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

from mapstack.datasets.example_drives import example_drives
from mapstack.errors import MapstackError
from mapstack.evaluation.map_alignment import AlignmentTrial, align_drive, planar_errors

STAGES = ("reported", "aligned", "fused")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("MAPSTACK_SHARED", "../shared")) / "data")
    parser.add_argument("--sigma-m", type=float, default=2.0, help="of the reported place along x and y")
    parser.add_argument("--heading-deg", type=float, default=2.0, help="of the reported heading")
    parser.add_argument("--miss", type=float, default=0.3, help="share of the lines that are not detected")
    parser.add_argument("--streets", action="store_true", help="align to OpenStreetMap's streets, not to the HD map")
    parser.add_argument("--classes", nargs="+", default=["divider", "boundary"])
    parser.add_argument("--interval-s", type=float, default=0.5, help="from frame to frame")
    parser.add_argument("--max-frames", type=int, default=40, help="of a drive")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


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
    against = "boundaries to edges of OpenStreetMap's streets" if args.streets else ", ".join(args.classes)
    print(f"sigma {args.sigma_m:g} m, heading {args.heading_deg:g} deg, seed {args.seed}, {against}")
    print(f"{trial.detections}\n{trial.odometry}, {trial.range_m[0]:g} x {trial.range_m[1]:g} m in view")
    print(f"{'drive':22} {'frames':>6}   " + "   ".join(f"{stage + ', m and deg':23}" for stage in STAGES))
    everything: dict[str, list[np.ndarray]] = {stage: [] for stage in STAGES}
    for number, drive in enumerate(tqdm(example_drives(args.data), disable=None)):
        times_s, streets = drive.times_s, drive.streets() if args.streets else None
        wanted = np.arange(times_s[0], times_s[-1], args.interval_s)[: args.max_frames]
        rows = np.searchsorted(times_s, wanted)
        poses, seed = drive.world_from_ego[rows], 1000 * args.seed + number
        result = align_drive(drive.vector_map, poses, times_s[rows], trial, seed, streets)
        errors = {stage: planar_errors(result[stage], result["true"]) for stage in STAGES}
        tqdm.write(row(f"{drive.source} {drive.name[:10]}", errors))
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
