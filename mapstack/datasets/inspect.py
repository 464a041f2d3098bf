"""Say what an index holds and check every file it names: ``python -m mapstack.datasets.inspect INDEX``."""

import argparse
import sys
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from mapstack.datasets.file_checks import image_fault, map_fault, points_fault
from mapstack.datasets.index import INDEX_VERSION, Index, read_index
from mapstack.errors import DataError

__all__ = ["describe", "find_faults", "main"]

MAX_LISTED = 20


def describe(index: Index) -> list[str]:
    """Lines that say what the index holds."""
    frames = [index.frame(row) for row in range(len(index))]
    cameras = Counter(f"{item['name']} {item['width']}x{item['height']}" for f in frames for item in f["cameras"])
    lidars = [frame["lidar"] for frame in frames if frame["lidar"]]
    sweeps = [len(lidar["sweeps"]) for lidar in lidars]
    maps = Counter((f["map_kind"] or "none") for f in frames)
    times = index.column("timestamp_ns")
    spans = {}
    for scene, time in zip(index.column("scene"), times, strict=True):
        low, high = spans.get(scene, (time, time))
        spans[scene] = min(low, time), max(high, time)
    driven_s = sum(high - low for low, high in spans.values()) * 1e-9

    def count(values: list) -> str:
        return ", ".join(f"{name} {number}" for name, number in sorted(Counter(map(str, values)).items()))

    return [
        f"{index.path}: {index.dataset}, index version {INDEX_VERSION}, files under {index.data_root}",
        f"frames     {len(index)} in {len(spans)} scenes, {driven_s:.1f} s driven",
        f"splits     {count(index.column('split'))}",
        f"locations  {count(index.column('location'))}",
        "cameras    " + (", ".join(f"{name} ({number})" for name, number in cameras.items()) or "none"),
        f"LiDAR      {len(lidars)} frames"
        + (f", {min(sweeps)} to {max(sweeps)} earlier sweeps each" if sweeps else ""),
        "maps       " + ", ".join(f"{name} ({number} frames)" for name, number in sorted(maps.items())),
        f"time       {min(times, default=0)} to {max(times, default=0)} ns",
    ]


def find_faults(index: Index, *, show_progress: bool = False) -> list[str]:
    """Check each file once; returns a line ``PATH: what is wrong (first frame TOKEN)`` for each that fails."""
    checks = {}
    for row in range(len(index)):
        frame = index.frame(row)
        for camera in frame["cameras"]:
            checks.setdefault(camera["path"], (frame["token"], image_fault, (camera["width"], camera["height"])))
        if lidar := frame["lidar"]:
            for item in (lidar, *lidar["sweeps"]):
                checks.setdefault(item["path"], (frame["token"], points_fault, (lidar["num_columns"],)))
        if frame["map_kind"]:
            key = (frame["map_kind"], frame["map_root"], frame["map_name"])
            checks.setdefault(key, (frame["token"], None, ()))
    faults = []
    for key, (token, check, arguments) in tqdm(checks.items(), desc="files", disable=not show_progress):
        if check is None:
            path = index.data_root / key[1]
            fault = map_fault(key[0], path, key[2])
        else:
            path = index.data_root / key
            fault = check(path, *arguments)
        if fault:
            faults.append(f"{path}: {fault} (first frame {token})")
    return faults


def main(arguments: list[str] | None = None) -> int:
    """Print what the index holds; 1 when a file is missing or damaged, 2 when the index itself cannot be read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("index", type=Path, nargs="+")
    parser.add_argument("--data-root", type=Path, help="folder that the paths are relative to")
    parser.add_argument("--no-check", action="store_true", help="do not look at the files")
    options = parser.parse_args(arguments)
    damaged = False
    for path in options.index:
        try:
            index = read_index(path, options.data_root)
        except DataError as error:
            sys.stderr.write(f"{error}\n")
            return 2
        lines = describe(index)
        if not options.no_check:
            faults = find_faults(index, show_progress=sys.stderr.isatty())
            damaged |= bool(faults)
            lines += [f"  {fault}" for fault in faults[:MAX_LISTED]]
            lines.append(f"files      {len(faults)} faults" if faults else "files      all there and sound")
        sys.stdout.write("\n".join(lines) + "\n")
    return int(damaged)


if __name__ == "__main__":
    sys.exit(main())
