"""OpenVINO as ONNX Runtime's provider: its package has onnxruntime's own name, so it runs in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mapstack.errors import DataError
from mapstack.export.describe import plan_export
from mapstack.export.exporter import export_onnx
from mapstack.export.playback import frame_from_row
from mapstack.export.providers import Exported
from mapstack.export.runtime import MapRuntime

from . import rigs
from .conftest import stand_in_inputs

ROOT = Path(__file__).parents[2]
OPENVINO = ROOT / ".openvino"
needs_openvino = pytest.mark.skipif(not OPENVINO.is_dir(), reason="no .openvino; `make openvino` brings it")
CHILD = """
import json, sys
import numpy as np
from mapstack.export.providers import Exported
from mapstack.export.runtime import MapRuntime
inputs, report = dict(np.load(sys.argv[1])), {}
for name, (path, provider) in Exported.by_name(sys.argv[2:]).items():
    runtime = MapRuntime(path, providers=(provider,), num_threads=1)
    answer = runtime.run(inputs)
    report[name] = {
        "scores": answer["scores"].tolist(),
        "polylines": answer["polylines"].tolist(),
        "batch": runtime._session.get_inputs()[0].shape[0],
        "provider": runtime._session.get_providers()[0],
    }
print(json.dumps(report))
"""


def run_with_openvino(*arguments: str) -> subprocess.CompletedProcess:
    paths = os.pathsep.join([str(OPENVINO), str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": paths}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=300, env=environment)


@needs_openvino
def test_openvino_answers_as_the_cpu_kernels_do(town_export: rigs.Exported, tmp_path: Path) -> None:
    """A real streaming model fed by tables: float32 to rounding, bfloat16 nearly, compiled for one frame at a time."""
    runtime = MapRuntime(town_export.path)
    inputs, _ = runtime.prepare(town_export.frame(0))
    inputs = {name: inputs[name] for name in runtime.input_names}
    np.savez(tmp_path / "inputs.npz", **inputs)
    files = [f"{name}={town_export.path}@{name}" for name in ("openvino", "openvino-bf16")]
    done = run_with_openvino("-c", CHILD, str(tmp_path / "inputs.npz"), *files)
    assert done.returncode == 0, done.stderr
    report, expected = json.loads(done.stdout.splitlines()[-1]), runtime.run(inputs)
    for name, tolerance in (("openvino", 1e-4), ("openvino-bf16", 0.05)):
        answer = report[name]
        assert answer["provider"] == "OpenVINOExecutionProvider"
        assert answer["batch"] == 1
        gap = np.abs(np.array(answer["scores"]) - expected["scores"]).max()
        assert gap < tolerance
        assert (gap > 1e-6) == (name == "openvino-bf16"), "bfloat16 is asked for by name, and only then"


@needs_openvino
def test_a_model_without_cameras_runs_by_it(town_index: dict[str, Path], tmp_path: Path) -> None:
    """The provider drops an input whose values nothing uses, and feeds the others to wrong places."""
    config = rigs.small_config(camera=False)
    model, dataset = rigs.seeded_model(config), rigs.dataset_of(config, town_index["val"])
    batch = rigs.batch_of(model, dataset, [0, 1])
    plan = plan_export(model, batch, config, (), "tables")
    path = tmp_path / "lidar.onnx"
    export_onnx(model, plan.tensors(batch), path, plan.metadata)
    runtime = MapRuntime(path)
    inputs, _ = runtime.prepare(frame_from_row(dataset.get_data_info(0)))
    expected = runtime.run(inputs)
    np.savez(tmp_path / "inputs.npz", **{name: inputs[name] for name in runtime.input_names})
    done = run_with_openvino("-c", CHILD, str(tmp_path / "inputs.npz"), f"lidar={path}@openvino")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])["lidar"]
    assert answer["provider"] == "OpenVINOExecutionProvider"
    for name in ("scores", "polylines"):
        np.testing.assert_allclose(answer[name], expected[name], atol=1e-4)


@needs_openvino
def test_its_release_quantises_too(onnx_path: Path, tmp_path: Path) -> None:
    """Its quantiser is an older one, and takes the same ranges and exceptions."""
    np.savez(tmp_path / "inputs.npz", **{name: value.numpy() for name, value in stand_in_inputs(1, 50).items()})
    code = """
import math, sys
from pathlib import Path
import numpy as np
from mapstack.export.quantization import quantize_int8
inputs = dict(np.load(sys.argv[2]))
print(quantize_int8(Path(sys.argv[1]), Path(sys.argv[3]), [inputs], target="vnni", max_damage=math.inf))
"""
    out = tmp_path / "int8.onnx"
    done = run_with_openvino("-c", code, str(onnx_path), str(tmp_path / "inputs.npz"), str(out))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "()", "nothing is left in float"
    assert MapRuntime(out).metadata == MapRuntime(onnx_path).metadata


def test_files_are_named_with_what_runs_them() -> None:
    files = Exported.by_name(["a=x/model.onnx", "b=x/model.onnx@openvino-bf16"])
    assert files == {"a": (Path("x/model.onnx"), "cpu"), "b": (Path("x/model.onnx"), "openvino-bf16")}
    for items in (["model.onnx"], ["=model.onnx"], ["a="], ["a=x", "a=y"]):
        with pytest.raises(DataError, match="NAME=PATH"):
            Exported.by_name(items)
