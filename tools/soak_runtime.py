"""Run an exported model for thousands of frames with broken sensors, time jumps and pose jumps in between.

python tools/soak_runtime.py MODEL.onnx --index data/town/index/val.parquet [--frames 10000]
Fails when anything goes wrong, or when memory grows by more than --max-growth-mb.
"""

import argparse
import json
import sys
from pathlib import Path

from tqdm import tqdm

from mapstack.datasets import MapDataset
from mapstack.errors import MapstackError
from mapstack.export.playback import frame_from_row
from mapstack.export.runtime import MapRuntime
from mapstack.export.soak import soak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="what tools/export_onnx.py wrote")
    parser.add_argument("--index", required=True, help="of the frames that are run over and over")
    parser.add_argument("--frames", type=int, default=10000)
    parser.add_argument("--different", type=int, default=8, help="frames kept in memory (default 8)")
    parser.add_argument("--fault-share", type=float, default=0.3)
    parser.add_argument("--max-growth-mb", type=float, default=30.0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where the report is written as JSON")
    args = parser.parse_args()
    dataset = MapDataset(args.index, test_mode=True)
    frames = [frame_from_row(dataset.get_data_info(place)) for place in range(min(args.different, len(dataset)))]
    runtimes = [MapRuntime(args.model, num_threads=args.threads) for _ in range(2)]
    with tqdm(total=args.frames, unit="frame") as bar:
        report = soak(*runtimes, frames, args.frames, fault_share=args.fault_share, progress=lambda _: bar.update())
    summary = {
        "frames": report.frames,
        "refused": report.refused,
        "resets": report.resets,
        "compared_with_fresh": report.fresh_checks,
        "memory_mb": report.memory_mb[1],
        "growth_mb": report.growth_mb,
        "wrong": len(report.wrong),
    }
    print(json.dumps(summary | {"faults": dict(report.faults)}, indent=1))
    if args.out is not None:
        args.out.write_text(json.dumps(summary))
    for line in report.wrong[:20]:
        print(line)
    if report.wrong or report.growth_mb > args.max_growth_mb:
        sys.exit(f"error: {len(report.wrong)} things went wrong, memory grew by {report.growth_mb:.1f} MB")


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
