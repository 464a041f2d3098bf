"""Time and memory of the evaluation against the number of frames and of predictions per frame.

Each row is a fresh process that scores two JSON files of a synthetic set. A pool of distinct frames is repeated
under different tokens, so that files of gigabytes are written in seconds; the evaluation cannot know.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from mapstack.evaluation import Options, evaluate

POOL, NUM_CLASSES, NUM_POINTS = 256, 3, 20
COLUMNS = ("frames", "predictions", "targets", "MB", "seconds", "CPU s", "peak RSS MB", "mAP")


def random_line(rng: np.random.Generator, num_vertices: int) -> np.ndarray:
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.15, num_vertices))
    steps = rng.uniform(1, 4, num_vertices)[:, None] * np.stack([np.cos(heading), np.sin(heading)], 1)
    return np.clip(rng.uniform([-30, -15], [30, 15]) + np.cumsum(steps, 0), [-30, -15], [30, 15])


def random_frame(rng: np.random.Generator, num_predictions: int, num_targets: int) -> tuple[str, str]:
    """JSON of predictions and targets; predictions follow the targets, off by 0.2, 0.6 or 3 m."""
    lines = [random_line(rng, rng.integers(2, 12)) for _ in range(num_targets)]
    labels = rng.integers(0, NUM_CLASSES, num_targets)
    owners = rng.integers(0, num_targets, num_predictions)
    at = [np.linspace(0, len(lines[owner]) - 1, NUM_POINTS) for owner in owners]
    clean = [
        np.stack([np.interp(x, np.arange(len(lines[o])), lines[o][:, d]) for d in range(2)], 1)
        for x, o in zip(at, owners, strict=True)
    ]
    offset_m = rng.choice([0.2, 0.6, 3.0], num_predictions)
    shifts = rng.normal(0, 1, (num_predictions, 1, 2)) * offset_m[:, None, None]
    noisy = np.array(clean) + shifts + rng.normal(0, 0.1, (num_predictions, NUM_POINTS, 2))
    scores = np.clip(rng.normal(0.8 - 0.2 * offset_m, 0.2), 0, 1)
    predictions = {"vectors": noisy.round(3).tolist(), "labels": labels[owners].tolist(), "scores": scores.tolist()}
    targets = {"vectors": [line.round(3).tolist() for line in lines], "labels": labels.tolist()}
    return json.dumps(predictions), json.dumps(targets)


def write_set(folder: Path, frames: int, predictions: int, targets: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pool = [random_frame(rng, predictions, targets) for _ in range(min(POOL, frames))]
    for side, name in enumerate(("predictions.json", "targets.json")):
        with (folder / name).open("w", encoding="utf-8") as file:
            for number in range(frames):
                text = f'{"," if number else "{"}\n"{number:08d}": {{"scene": "scene-{number // 40:06d}", '
                file.write(text + pool[number % len(pool)][side][1:])
            file.write("\n}\n")


def measure(folder: Path, protocol: str, replicates: int) -> None:
    start, cpu = time.perf_counter(), time.process_time()
    result = evaluate(folder / "predictions.json", folder / "targets.json", protocol, options=Options(replicates))
    took = time.perf_counter() - start, time.process_time() - cpu
    print(json.dumps([*took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, result.map]))


def row(frames: int, predictions: int, args: argparse.Namespace) -> list[str]:
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        write_set(Path(folder), frames, predictions, args.targets, args.seed)
        size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
        options = ["--protocol", args.protocol, "--replicates", str(args.replicates)]
        command = [sys.executable, __file__, "--measure", folder, *options]
        seconds, cpu, rss, value = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    numbers = f"{size:.0f}", f"{seconds:.2f}", f"{cpu:.2f}", f"{rss:.0f}", f"{value:.6f}"
    return [str(frames), str(predictions), str(args.targets), *numbers]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, nargs="*", default=[100, 1000, 6019, 20000, 100000])
    parser.add_argument("--predictions", type=int, nargs="*", default=[10, 25, 50, 100, 200])
    parser.add_argument("--protocol", default="maptr")
    for name, default in (("--targets", 9), ("--replicates", 1000), ("--seed", 0)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--folder", help="where the sets are written; the largest takes 3 GB (default: the system's)")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        return measure(args.measure, args.protocol, args.replicates)
    machine = f"{os.uname().machine}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{time.strftime('%F')}, {machine}, {args.protocol}, seed {args.seed}, {args.replicates} bootstrap draws")
    print("| " + " | ".join(COLUMNS) + " |\n|" + "--:|" * len(COLUMNS))
    for frames, predictions in [(n, 50) for n in args.frames] + [(1000, n) for n in args.predictions]:
        print("| " + " | ".join(row(frames, predictions, args)) + " |", flush=True)


if __name__ == "__main__":
    main()
