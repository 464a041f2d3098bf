"""Write a self-contained HTML report of what tools/test.py left: scores, curves, worst and best frames."""

import argparse
import json
import sys
from pathlib import Path

from mapstack import __version__
from mapstack.datasets.transforms import LoadLidar
from mapstack.engine import load_config
from mapstack.engine.inference import build_dataset
from mapstack.errors import DataError, MapstackError
from mapstack.evaluation import open_submission
from mapstack.evaluation.curves import rank_hits, score_frames
from mapstack.geometry import BEVGrid
from mapstack.visualization import DrawnMap, PRCurve, Report, ReportFrame, choose_frames, write_report
from mapstack.visualization.frame import load_views
from mapstack.visualization.scores import headline, protocol_facts, score_tables


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="the config that was tested; its test index is read unless --index says another")
    parser.add_argument("results", type=Path, help="folder with metrics.json, predictions.json and targets.json")
    parser.add_argument("--out", type=Path, help="the page; RESULTS/report.html by default")
    parser.add_argument("--index", type=Path, help="index of the frames that were tested")
    parser.add_argument("--data-root", help="folder of the index's files, where it is not the one the index names")
    parser.add_argument("--frames", type=int, default=4, help="so many worst and so many best frames (default 4)")
    parser.add_argument("--min-score", type=float, default=0.3, help="predictions drawn (default 0.3)")
    parser.add_argument("--road-height-m", type=float, default=0.0, help="z of the road in the ego frame")
    return parser.parse_args()


def read_metrics(folder: Path) -> dict:
    for name in ("metrics.json", "predictions.json", "targets.json"):
        if not (folder / name).is_file():
            raise DataError(f"{folder / name} is missing; tools/test.py CONFIG CHECKPOINT --out {folder} writes it")
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def main() -> None:
    args = parse_args()
    metrics = read_metrics(args.results)
    sides = [open_submission(args.results / f"{name}.json", name) for name in ("predictions", "targets")]
    classes, protocol = tuple(metrics["result"]["classes"]), metrics["result"]["protocol"]
    ranked_by = protocol["name"] if protocol["kind"] == "pooled" else "maptr"
    ap = {(entry["label"], entry["threshold_m"]): entry["ap"] for entry in metrics["result"]["ap"]}
    curves = [
        PRCurve.from_hits(classes[item.label], f"{item.threshold_m:g} m", item.hits, item.num_targets, ap_of)
        for item in (rank_hits(*sides, ranked_by) if protocol["kind"] == "pooled" else [])
        if (ap_of := ap[item.label, item.threshold_m]) is not None
    ]
    cfg = load_config(args.config)
    dataset = build_dataset(cfg, args.index, args.data_root, with_truth=False)
    scores = score_frames(*sides, ranked_by)
    place = {token: index for index, token in enumerate(dataset.tokens)}
    load_lidar = LoadLidar()

    def frame(token: str) -> ReportFrame:
        if token not in place:
            raise DataError(f"{dataset.ann_file} has no frame {token}; give the tested index with --index")
        row = dataset.get_data_info(place[token])
        truth = DrawnMap.from_vectors(sides[1].entry(token), classes)
        prediction = DrawnMap.from_vectors(sides[0].entry(token), classes, args.min_score)
        caption = f"{row['scene']}, {token}, AP within the frame ({ranked_by}) {scores[token]:.3f}"
        points = load_lidar(row)["points"] if row["lidar"] else None
        views = load_views(row["cameras"])
        return ReportFrame(token, caption, views, points, truth, prediction, args.road_height_m)

    worst, best = ([frame(token) for token in tokens] for tokens in choose_frames(scores, args.frames))
    facts = {
        "config": str(args.config),
        "results": str(args.results),
        "frames": f"{len(scores)} of {dataset.ann_file}",
        "drawn": f"predictions with score of at least {args.min_score:g}",
        "mapstack": __version__,
    }
    grid = BEVGrid(**cfg.grid)
    title = f"mapstack: {Path(args.config).stem}"
    tables, statement = score_tables(metrics), protocol_facts(metrics)
    report = Report(title, headline(metrics), facts, statement, grid, classes, tables, curves, worst, best)
    out = args.out or args.results / "report.html"
    print(f"written: {out}, {write_report(report, out) / 1e6:.1f} MB")


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
