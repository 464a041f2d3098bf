"""Write an FP16 or INT8 form of an exported model; ``tools/compare_onnx.py`` says what it loses and gains.

python tools/quantize_onnx.py MODEL.onnx CONFIG --precision int8 --out MODEL.int8.onnx [--target vnni]
"""

import argparse
import sys
from pathlib import Path

from mmengine.config import DictAction

from mapstack.engine import load_config
from mapstack.engine.inference import build_dataset
from mapstack.errors import MapstackError
from mapstack.export.playback import frame_from_row
from mapstack.export.quantization import MAX_DAMAGE, TARGETS, quantize_int8, to_float16
from mapstack.export.runtime import MapRuntime


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="what tools/export_onnx.py wrote")
    parser.add_argument("config", help="whose training data calibrates, through its test pipeline")
    parser.add_argument("--index", help="of other frames to calibrate on")
    parser.add_argument("--precision", choices=["fp16", "int8"], required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="MODEL.onnx")
    parser.add_argument("--target", choices=TARGETS, default="cpu", help="form of the 8-bit graph (default cpu)")
    parser.add_argument("--frames", type=int, default=24, help="that INT8 is calibrated on (default 24)")
    parser.add_argument(
        "--max-damage", type=float, default=MAX_DAMAGE, help=f"see docs/DEPLOY.md (default {MAX_DAMAGE})"
    )
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    if args.precision == "fp16":
        to_float16(args.model, args.out)
    else:
        section = cfg.train_dataloader.dataset
        index, root = (args.index, None) if args.index else (section.ann_file, section.get("data_root"))
        dataset, runtime = build_dataset(cfg, index, root, with_truth=False), MapRuntime(args.model)
        frames = []
        for place in range(0, len(dataset), max(len(dataset) // args.frames, 1)):
            frames.append(runtime.prepare(frame_from_row(dataset.get_data_info(place)))[0])
        left = quantize_int8(args.model, args.out, frames[: args.frames], target=args.target,
                             max_damage=args.max_damage, report=print)  # fmt: skip
        print(f"left in float: {', '.join(left) or 'nothing'}")
    print(f"written: {args.out}, {args.out.stat().st_size / 1e6:.1f} MB of {args.model.stat().st_size / 1e6:.1f}")


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
