"""Train a config on a few frames and score it on the same ones: a decoder that cannot learn them by heart has a bug.

python tools/overfit.py configs/town/maptrv2_lss-pillars_60x30_town.py [--frames 8] [--iterations 400] [--out JSON]
python tools/overfit.py CONFIG --frames 1 --sensors FOLDER --map FILE.geojson

The second form takes a recording and a map in its world frame; tools/infer.py then draws what was learned.
"""

import argparse
import copy
import json
import sys
from pathlib import Path

from mmengine import Config
from mmengine.config import DictAction

from mapstack.datasets import read_index
from mapstack.datasets.index import write_index
from mapstack.datasets.sources.detect import read_unlabelled
from mapstack.engine import build_runner, load_config
from mapstack.errors import MapstackError


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a config for frames one by one; a streaming one needs its frames in a row")
    parser.add_argument("--frames", type=int, default=8, help="spread evenly over the training index")
    parser.add_argument("--iterations", type=int, default=400)
    parser.add_argument("--sensors", type=Path, metavar="FOLDER", help="frames of this recording instead")
    parser.add_argument("--map", type=Path, metavar="GEOJSON", help="its map, world metres")
    parser.add_argument("--work-dir", help="default: work_dirs/overfit/CONFIG")
    parser.add_argument("--out", type=Path, metavar="JSON", help="where the scores are written")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE")
    return parser.parse_args()


def index_of(sensors: Path, map_file: Path, path: Path) -> str:
    """Index a recording with a map; the index's path."""
    frames, kind, root = read_unlabelled(sensors)
    placed = {"map_kind": "geojson", "map_root": str(map_file.resolve()), "map_name": None}
    rows = [{**frame, **placed} for frame in frames]
    write_index(path, rows, dataset=kind, data_root=root, command=f"tools/overfit.py --sensors {sensors}")
    return str(path)


def narrowed(cfg: Config, ann_file: str, num_frames: int, iterations: int) -> Config:
    """The config with the same few frames, unaugmented, for training and for scoring."""
    count = len(read_index(ann_file).column("token"))
    few = copy.deepcopy(cfg.test_dataloader.dataset)  # the test pipeline draws nothing at random
    few.ann_file, few.indices = ann_file, [i * count // num_frames for i in range(min(num_frames, count))]
    for part in ("train", "val", "test"):
        loader = cfg[f"{part}_dataloader"]
        loader.dataset = copy.deepcopy(few)
        loader.dataset.test_mode = part != "train"
        loader.num_workers, loader.persistent_workers = min(loader.num_workers, 1), loader.num_workers > 0
    # Asked is what the weights can learn, not what an average over the last iterations makes of it.
    cfg.custom_hooks = [hook for hook in cfg.get("custom_hooks", []) if hook["type"] != "EMAHook"]
    cfg.train_cfg.max_iters = cfg.train_cfg.val_interval = iterations
    cfg.default_hooks.checkpoint.interval = iterations
    return cfg


def main() -> None:
    """Train, score, write."""
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    cfg.work_dir = args.work_dir or f"work_dirs/overfit/{Path(args.config).stem}"
    ann_file = cfg.train_dataloader.dataset.ann_file
    if args.sensors is not None:
        ann_file = index_of(args.sensors, args.map, Path(cfg.work_dir) / "index.parquet")
    runner = build_runner(narrowed(cfg, ann_file, args.frames, args.iterations))
    runner.train()
    metrics = runner.val()
    print(f"{args.config}: " + ", ".join(f"{key} {value:.3f}" for key, value in metrics.items() if "mAP" in key))
    if args.out is not None:
        args.out.write_text(json.dumps({key: float(value) for key, value in metrics.items()}, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
