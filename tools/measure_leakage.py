"""Measure how much of a validation set stands where the training set stood.

Between two indexes (any data set), or for a nuScenes split on a Parquet list of poses (scene, token, x_m, y_m).
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from mapstack.datasets.index import read_index
from mapstack.datasets.leakage import index_leakage, shared_tokens
from mapstack.datasets.pose_list import split_leakage
from mapstack.errors import MapstackError


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=Path, help="index of the training frames")
    parser.add_argument("--val", type=Path, help="index of the validation frames")
    parser.add_argument("--split", help="nuScenes split: official, streammapnet, geo_near, or a folder of lists")
    parser.add_argument("--poses", type=Path, help="Parquet list of poses, with --split")
    parser.add_argument("--radius-m", type=float, default=5.0)
    parser.add_argument("--json", type=Path, help="write the numbers here, too")
    options = parser.parse_args()
    if bool(options.train and options.val) == bool(options.split and options.poses):
        parser.error("give either --train and --val, or --split and --poses")
    return options


def main() -> None:
    options = parse_arguments()
    if options.train:
        train, val = read_index(options.train), read_index(options.val)
        entries = index_leakage(train, val, options.radius_m)
        print(f"tokens in both: {len(shared_tokens(train, val))}")
    else:
        entries, known = split_leakage(options.poses, options.split, options.radius_m)
        for part, (have, wanted) in known.items():
            print(f"{part}: poses of {have} of {wanted} scenes")
        if known["train"][0] < known["train"][1]:
            print("training scenes without poses cannot be seen to leak: the shares are lower bounds")
    for entry in entries:
        share = f"{100 * entry.share:5.1f} %" if entry.total else "   -   "
        print(f"{entry.location:28} {entry.near:6} of {entry.total:6} within {options.radius_m} m  {share}")
    if options.json:
        numbers = [{**asdict(entry), "share": entry.share if entry.total else None} for entry in entries]
        options.json.write_text(json.dumps({"radius_m": options.radius_m, "rows": numbers}, indent=2) + "\n")


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
