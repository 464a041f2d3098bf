"""Run the real nuScenes keyframe through an exported model in a fresh environment that has no PyTorch.

python tools/prove_without_torch.py MODEL.onnx [--keyframe DIR] [--work-dir outputs/without_torch]
Makes a virtual environment with NumPy, ONNX Runtime and OpenCV (to decode JPEGs) alone, and there: reads the keyframe's
own tables, runs MapRuntime, writes GeoJSON and Lanelet2. The answer is compared with this environment's, whose frame
comes through mapstack's own index. Add --resizer numpy to scale the images without OpenCV.
"""

import argparse
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np

from mapstack.datasets import MapDataset
from mapstack.datasets.index import write_index
from mapstack.datasets.sources.detect import read_unlabelled
from mapstack.errors import DataError, MapstackError
from mapstack.export.parity import POINT_TOLERANCE_M, SCORE_TOLERANCE
from mapstack.export.playback import frame_from_row
from mapstack.export.runtime import MapRuntime

ROOT = Path(__file__).parents[1]
KEYFRAME = Path(os.environ.get("MAPSTACK_SHARED", ROOT.parent / "shared")) / "data/nuscenes_keyframe"
PACKAGES = ("numpy", "onnxruntime", "flatbuffers", "packaging", "protobuf", "opencv-python-headless")


def make_environment(folder: Path) -> Path:
    """A virtual environment with the pinned runtime packages; its Python."""
    python = folder / "bin/python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        pins = dict(line.split("==") for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line)
        wanted = [f"{name}=={pins[name]}" for name in PACKAGES]
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", *wanted]
        subprocess.run(install, check=True)
    return python


def expected_answer(model: Path, keyframe: Path, work_dir: Path) -> dict:
    """The same frame through the index, in this environment."""
    frames, kind, root = read_unlabelled(keyframe)
    index = work_dir / "index.parquet"
    write_index(index, frames, dataset=kind, data_root=root)
    found = MapRuntime(model).process(frame_from_row(MapDataset(str(index), test_mode=True).get_data_info(0)))
    return {name: getattr(found.prediction, name).tolist() for name in ("points", "labels", "scores")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="what tools/export_onnx.py wrote")
    parser.add_argument("--keyframe", type=Path, default=KEYFRAME, help="a nuScenes root cut to one keyframe")
    parser.add_argument("--work-dir", type=Path, default=Path("outputs/without_torch"))
    parser.add_argument("--resizer", choices=["opencv", "numpy"], default="opencv")
    args = parser.parse_args()
    if not (args.keyframe / "v1.0-mini").is_dir():
        raise DataError(f"no keyframe at {args.keyframe}; set MAPSTACK_SHARED or --keyframe")
    args.work_dir.mkdir(parents=True, exist_ok=True)
    python = make_environment(args.work_dir / "venv")
    child = [python, ROOT / "tools/run_keyframe.py", args.model, args.keyframe, args.work_dir, args.resizer]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONNOUSERSITE": "1"}
    subprocess.run(child, check=True, env=environment)
    answer = json.loads((args.work_dir / "answer.json").read_text())
    expected = expected_answer(args.model, args.keyframe, args.work_dir)
    errors = {name: np.abs(np.array(answer[name]) - np.array(expected[name])).max() for name in expected}
    print(f"against this environment: {errors['points'] * 1000:.4f} mm, {errors['scores']:.2g} in score")
    if errors["labels"] or errors["points"] > POINT_TOLERANCE_M or errors["scores"] > SCORE_TOLERANCE:
        sys.exit("error: the environment without PyTorch gives another answer")


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
