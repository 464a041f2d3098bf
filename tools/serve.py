"""Play a recording through an exported model and watch it in a browser: cameras, BEV, the map as it grows.

python tools/serve.py MODEL.onnx --input FOLDER        then open http://127.0.0.1:8000
FOLDER is a nuScenes root, an Argoverse 2 log, or a recording of one's own (docs/DATA.md); --index takes an index.
"""

import argparse
import sys
from pathlib import Path

import uvicorn

from mapstack.datasets import MapDataset
from mapstack.datasets.index import write_index
from mapstack.datasets.sources.detect import read_unlabelled
from mapstack.errors import MapstackError
from mapstack.export.live import Player, make_app
from mapstack.export.playback import frame_from_row
from mapstack.export.runtime import MapRuntime


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="what tools/export_onnx.py wrote")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--input", type=Path, metavar="FOLDER", help="a recording; its index is written to --work-dir")
    source.add_argument("--index", type=Path, help="an index, as tools/prepare_*.py write it")
    parser.add_argument("--work-dir", type=Path, default=Path("outputs/serve"))
    parser.add_argument("--scene", help="play this scene alone")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets others watch (default: this machine)")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--rate-hz", type=float, default=2.0, help="frames a second at most (default 2)")
    parser.add_argument("--min-score", type=float, default=0.3)
    parser.add_argument("--providers", nargs="+", default=["cpu"], help="execution providers in order (default cpu)")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    index = args.index
    if index is None:
        frames, kind, root = read_unlabelled(args.input)
        index = args.work_dir / "index.parquet"
        write_index(index, frames, dataset=kind, data_root=root, command=f"tools/serve.py --input {args.input}")
    dataset = MapDataset(str(index), test_mode=True)
    rows = [place for place in range(len(dataset)) if args.scene in (None, dataset.get_data_info(place)["scene"])]
    runtime = MapRuntime(args.model, providers=args.providers)
    player = Player(
        runtime,
        lambda place: frame_from_row(dataset.get_data_info(rows[place])),
        len(rows),
        args.min_score,
        args.rate_hz,
    )
    player.start()
    print(f"{len(rows)} frames; open http://{args.host}:{args.port}", flush=True)
    try:
        uvicorn.run(make_app(player), host=args.host, port=args.port, log_level="warning")
    finally:
        player.close()


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
