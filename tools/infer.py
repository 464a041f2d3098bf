"""Run a trained model on a folder of sensor data without any map: GeoJSON, pictures and a predictions file.

FOLDER is a nuScenes root, an Argoverse 2 log, or a plain recording of one's own (docs/DATA.md).
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import DictAction
from tqdm import tqdm

from mapstack.datasets.index import write_index
from mapstack.datasets.sources.detect import read_unlabelled
from mapstack.datasets.transforms import LoadLidar
from mapstack.engine import load_config
from mapstack.engine.inference import build_dataset, build_trained_model, predict_in_order
from mapstack.errors import MapstackError
from mapstack.evaluation import write_submission
from mapstack.export.geojson import prediction_geojson
from mapstack.geometry import BEVGrid
from mapstack.visualization import DrawnMap
from mapstack.visualization.frame import load_views, save_frame_pictures


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="the config that the checkpoint was trained with")
    parser.add_argument("checkpoint", help="of train.py, or bare weights (.safetensors)")
    parser.add_argument("--input", type=Path, required=True, metavar="FOLDER", help="the sensor data")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--cameras", nargs="*", metavar="NAME", help="use these instead of the config's; no name: all that there are"
    )
    parser.add_argument("--min-score", type=float, default=0.3, help="drawn and in the GeoJSON (default 0.3)")
    parser.add_argument("--road-height-m", type=float, default=0.0, help="z of the road in the ego frame, for pictures")
    parser.add_argument("--no-pictures", action="store_true", help="write GeoJSON and predictions only")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    frames, kind, root = read_unlabelled(args.input)
    index = args.out / "index.parquet"
    write_index(index, frames, dataset=kind, data_root=root, command=f"tools/infer.py --input {args.input}")
    dataset = build_dataset(cfg, index, with_truth=False, cameras=args.cameras)
    model = build_trained_model(cfg, args.checkpoint, args.device)
    grid, classes, load_lidar = BEVGrid(**cfg.grid), tuple(cfg.classes), LoadLidar()
    (args.out / "geojson").mkdir(parents=True, exist_ok=True)

    def entries() -> Iterator[tuple[str, dict]]:
        samples = predict_in_order(model, map(dataset.__getitem__, range(len(dataset))))
        for place, sample in zip(tqdm(range(len(dataset)), desc="frames", unit="frame"), samples, strict=True):
            row = dataset.get_data_info(place)
            found = DrawnMap.from_elements(sample.pred, classes)
            drawn, token = found.above(args.min_score), row["token"]
            content = prediction_geojson(
                drawn.vertices, drawn.labels, drawn.scores, classes, row["world_from_ego"], token
            )
            (args.out / "geojson" / f"{token}.geojson").write_text(json.dumps(content, allow_nan=False))
            if not args.no_pictures:
                views = load_views(row["cameras"])
                points = load_lidar(row)["points"] if row["lidar"] else None
                save_frame_pictures(
                    args.out / "pictures", token, grid, drawn, views=views, points=points, height_m=args.road_height_m
                )
            yield token, found.to_vectors() | {"scene": row["scene"], "timestamp_ns": row["timestamp_ns"]}

    meta = {"classes": list(classes), "config": str(args.config), "checkpoint": str(args.checkpoint)}
    write_submission(args.out / "predictions.json", entries(), meta)
    pictures = "" if args.no_pictures else f", {args.out}/pictures"
    print(f"{len(dataset)} frames written: {args.out}/geojson{pictures}, {args.out}/predictions.json")


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
