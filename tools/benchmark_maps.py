"""Time of one crop, all four classes, along real ego poses: Argoverse 2 logs and nuScenes scene maps.

python tools/benchmark_maps.py [--shared ../shared] [--seed 0] [--size 60 30]
"""

import argparse
import json
import os
import platform
import subprocess
import time
from datetime import date
from pathlib import Path

import numpy as np
from pyarrow import feather
from scipy.spatial.transform import Rotation

from mapstack.geometry import BEVGrid
from mapstack.geometry.se3 import make_transform, rotation_z
from mapstack.maps import CLASSES, VectorMap, load_argoverse2, load_geojson

MAX_POSES = 300


def argoverse2_poses(log_dir: Path) -> list[np.ndarray]:
    table = feather.read_table(log_dir / "city_SE3_egovehicle.feather").to_pydict()
    rotations = Rotation.from_quat(np.column_stack([table[name] for name in ("qx", "qy", "qz", "qw")])).as_matrix()
    places = np.column_stack([table[name] for name in ("tx_m", "ty_m", "tz_m")])
    return [make_transform(r, p) for r, p in zip(rotations, places, strict=True)]


def nuscenes_poses(path: Path) -> list[np.ndarray]:
    ego = json.loads(path.read_text())
    pairs = zip(ego["position"], ego["heading"], strict=True)
    return [make_transform(rotation_z(heading), np.array([x, y, 0.0])) for (x, y), heading in pairs]


def crop_ms(
    vector_map: VectorMap, poses: list[np.ndarray], grid: BEVGrid, seed: int
) -> tuple[float, np.ndarray, float]:
    """Milliseconds of the first crop, which prepares the map, of each later one, and elements per frame."""
    order = np.random.default_rng(seed).permutation(len(poses))[:MAX_POSES]
    times, elements = [], []
    for i in [order[0], *order]:
        start = time.perf_counter()
        patch = vector_map.crop(poses[i], grid, classes=CLASSES)
        times.append(1e3 * (time.perf_counter() - start))
        elements.append(len(patch))
    return times[0], np.array(times[1:]), float(np.mean(elements[1:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("MAPSTACK_SHARED", "../shared")))
    parser.add_argument("--seed", type=int, default=0, help="order of the poses")
    parser.add_argument("--size", type=float, nargs=2, default=(60.0, 30.0), help="metres along x and y")
    args = parser.parse_args()
    half_x, half_y = args.size[0] / 2, args.size[1] / 2
    grid = BEVGrid((-half_x, -half_y, -5, half_x, half_y, 3), 0.3)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    print(f"{date.today()}, {platform.processor() or platform.machine()}, {os.cpu_count()} CPUs, commit {commit}")
    print(
        f"load {os.getloadavg()[0]:.1f}, seed {args.seed}, {args.size[0]:g} x {args.size[1]:g} m, {', '.join(CLASSES)}"
    )
    data = args.shared / "data"
    sources = [
        (log, load_argoverse2, argoverse2_poses(log)) for log in sorted((data / "argoverse2/sensor/val").iterdir())
    ]
    for path in sorted((data / "nuscenes_maps").glob("*.geojson")):
        sources.append((path, load_geojson, nuscenes_poses(path.with_suffix(".ego.json"))))
    if not sources:
        raise SystemExit(f"no recordings under {data}")
    print(f"{'map':14} {'load ms':>8} {'first':>7} {'median':>7} {'p90':>7} {'elements':>9}")
    for path, load, poses in sources:
        start = time.perf_counter()
        vector_map = load(path)
        load_ms = 1e3 * (time.perf_counter() - start)
        first, later, elements = crop_ms(vector_map, poses, grid, args.seed)
        median, p90 = np.percentile(later, [50, 90])
        print(f"{path.stem[:14]:14} {load_ms:8.0f} {first:7.1f} {median:7.2f} {p90:7.2f} {elements:9.1f}")


if __name__ == "__main__":
    main()
