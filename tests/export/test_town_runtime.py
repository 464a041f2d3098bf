"""An exported model on town frames: raw sensors in, the model's own answer out, whatever breaks in between."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import lanelet2
import numpy as np
import onnx
import pytest
import torch
from mmengine.dataset import pseudo_collate

from mapstack.errors import ExportError
from mapstack.export import quantization
from mapstack.export.operators import read_operator_table, unsupported_operators
from mapstack.export.parity import POINT_TOLERANCE_M, SCORE_TOLERANCE, check_parity
from mapstack.export.runtime import MapRuntime, RuntimeResult
from mapstack.export.sensors import SensorFrame
from mapstack.export.soak import FAULTS, soak
from mapstack.maps import load_geojson

from .conftest import stand_in_inputs
from .rigs import CAMERAS, Exported, batch_of

ORIGIN = (103.78475189208984, 1.2882100868743724)


@pytest.fixture(scope="module")
def runtime(town_export: Exported) -> MapRuntime:
    return MapRuntime(town_export.path, num_threads=4)


def drive(exported: Exported) -> list[SensorFrame]:
    """The first frames of one scene."""
    frames = [exported.frame(place) for place in range(3)]
    assert len({frame.scene for frame in frames}) == 1
    return frames


def test_the_graph_computes_what_the_model_does_at_any_batch_and_calibration(town_export: Exported) -> None:
    batches = [batch_of(town_export.model, town_export.dataset, places) for places in ([0], [2, 1])]
    tilted = dict(batches[0])
    tilted["ego_from_camera"] = tilted["ego_from_camera"].clone()
    tilted["ego_from_camera"][..., :3, :3] = tilted["ego_from_camera"][..., :3, :3] @ torch.tensor(
        [[0.98, -0.199, 0.0], [0.199, 0.98, 0.0], [0.0, 0.0, 1.0]]
    )
    empty = dict(batches[0])
    empty["points"], empty["lidar_valid"] = empty["points"][:0], torch.tensor([False])
    tensors = [town_export.plan.tensors(batch) for batch in (*batches, tilted, empty)]
    generator = torch.Generator().manual_seed(0)
    past = {**tensors[0], "state_bev": torch.randn(tensors[0]["state_bev"].shape, generator=generator)}
    past |= {"state_valid": torch.tensor([True]), "previous_from_current": torch.eye(4)[None]}
    parity = check_parity(town_export.model, town_export.path, [*tensors, past])
    assert parity.num_frames == 6


def test_a_drive_comes_out_as_from_the_training_pipeline(town_export: Exported, runtime: MapRuntime) -> None:
    """Raw images, points and poses through the runtime, against the dataset and the model's own stream."""
    runtime.reset()
    state = None
    for place, frame in enumerate(drive(town_export)):
        result = runtime.process(frame)
        with torch.no_grad():
            (sample,), state = town_export.model.stream(pseudo_collate([town_export.dataset[place]]), state)
        expected, found = sample.pred, result.prediction
        assert result.reset is None and not result.broken and len(found) == len(expected)
        assert np.abs(found.scores - expected.scores.numpy()).max() < SCORE_TOLERANCE
        # Elements whose scores are the same to the last digits may change places.
        gaps = np.abs(found.points[:, None] - expected.points.numpy()[None]).max((2, 3))
        gaps[found.labels[:, None] != expected.labels.numpy()[None]] = np.inf
        assert gaps.min(1).max() < POINT_TOLERANCE_M
        assert set(result.stages_ms) == {"prepare", "tables", "network", "read"}
    assert runtime.pool.num_made >= 1


def test_the_past_counts_until_it_is_forgotten(town_export: Exported, runtime: MapRuntime) -> None:
    first, second = (replace(frame, sweeps=()) for frame in drive(town_export)[:2])
    runtime.reset()
    alone = runtime.process(second).prediction
    runtime.reset()
    runtime.process(first)
    assert not np.array_equal(runtime.process(second).prediction.scores, alone.scores)
    jumped = runtime.process(replace(second, timestamp_ns=second.timestamp_ns + 10**11))
    assert "time jumped" in jumped.reset
    np.testing.assert_array_equal(jumped.prediction.scores, alone.scores)


def test_ten_thousand_frames_in_small(town_export: Exported, runtime: MapRuntime) -> None:
    """The soak of tools/soak_runtime.py, every fault at least once."""
    runtime.reset()
    fresh = MapRuntime(town_export.path, num_threads=4)
    report = soak(runtime, fresh, drive(town_export)[:2], 120, fault_share=0.5, fresh_share=0.3)
    assert report.wrong == []
    assert report.frames == 120 and report.resets > 5 and report.refused > 0 and report.fresh_checks > 0
    assert len(report.faults) > 0.8 * len(FAULTS)
    assert report.growth_mb < 60


def test_tensorrt_takes_the_graph_with_tables(town_export: Exported) -> None:
    assert len(read_operator_table()) > 120
    assert unsupported_operators(town_export.path) == {}


def test_the_table_finds_what_tensorrt_does_not_take(onnx_path: Path) -> None:
    # The stand-in scatters with a reduction, as a graph without tables does; TopK over few cells is allowed.
    model = onnx.load(onnx_path)
    assert "TopK" not in str(unsupported_operators(model))
    for node in model.graph.node:
        if node.op_type == "ScatterElements":
            node.op_type = "ScatterND"
    assert any(name.startswith("ScatterND (reduction") for name in unsupported_operators(model))
    body = onnx.helper.make_graph([onnx.helper.make_node("NonZeroish", ["a"], ["b"])], "body", [], [])
    model.graph.node.append(onnx.helper.make_node("Loop", ["", ""], ["c"], body=body))
    assert unsupported_operators(model)["NonZeroish"] == 1
    model.graph.node[0].op_type, model.graph.node[0].domain = "Unique", "com.microsoft"
    assert "com.microsoft::Unique" in unsupported_operators(model)


@pytest.fixture(scope="module")
def result(town_export: Exported, runtime: MapRuntime) -> RuntimeResult:
    runtime.reset()
    return runtime.process(town_export.frame(0))


def test_geojson_lies_in_the_world(result: RuntimeResult, tmp_path: Path) -> None:
    path = tmp_path / "frame.geojson"
    path.write_text(json.dumps(result.geojson(), allow_nan=False))
    vertices = [
        np.array(line.coords)[:, :2]
        for layer in load_geojson(path).layers.values()
        for line in layer.geometries
        if line.geom_type == "LineString"
    ]
    assert vertices
    away = np.concatenate(vertices) - result.frame.world_from_ego[:2, 3]
    assert np.abs(away).max() < 35  # half the diagonal of the patch


def test_lanelet2_itself_reads_the_file(result: RuntimeResult, tmp_path: Path) -> None:
    line = np.linspace((-10, 2), (10, 2), 5, dtype=np.float32)
    ring = np.array([(0, 0), (3, 0), (3, 8), (0, 8), (0, 0)], np.float32)
    elements = replace(result.prediction, points=np.stack([line, ring, line + 4]), labels=np.array([0, 1, 2]))
    elements = replace(elements, scores=np.array([0.9, 0.8, 0.7], np.float32))
    path = tmp_path / "frame.osm"
    path.write_text(replace(result, prediction=elements).lanelet2(ORIGIN))
    projector = lanelet2.projection.UtmProjector(lanelet2.io.Origin(ORIGIN[1], ORIGIN[0]))
    loaded, errors = lanelet2.io.loadRobust(str(path), projector)
    assert not errors
    (crosswalk,) = loaded.laneletLayer
    assert crosswalk.attributes["subtype"] == "crosswalk"
    # The longer sides; UTM's scale is off by up to 0.04 %, and so is the sphere of the tangent plane.
    assert lanelet2.geometry.length(crosswalk.leftBound) == pytest.approx(8.0, rel=0.01)
    assert lanelet2.geometry.length(crosswalk.rightBound) == pytest.approx(8.0, rel=0.01)
    kinds = sorted(line.attributes["type"] for line in loaded.lineStringLayer)
    assert kinds == ["line_thin", "pedestrian_marking", "pedestrian_marking", "road_border"]


@pytest.fixture(scope="module")
def calibration(town_export: Exported, runtime: MapRuntime) -> list[dict]:
    runtime.reset()
    return [runtime.prepare(frame)[0] for frame in drive(town_export)]


def test_eight_bits_stay_near_and_tensorrt_takes_them(
    town_export: Exported, calibration: list[dict], tmp_path: Path
) -> None:
    out = tmp_path / "int8.onnx"
    left = quantization.quantize_int8(
        town_export.path, out, calibration[:1], target="tensorrt", max_damage=2.0, depth=1
    )
    assert left == ("bev_encoder", "decoder"), "with random weights; the encoders stay in 8 bits"
    assert MapRuntime(out).metadata == town_export.plan.metadata
    assert unsupported_operators(out) == {}


@pytest.mark.parametrize("target", quantization.TARGETS)
def test_the_layers_that_suffer_most_go_back_to_float(
    stand_in: torch.nn.Module, onnx_path: Path, target: str, tmp_path: Path
) -> None:
    out, lines, tight_lines = tmp_path / "int8.onnx", [], []
    frames = [{name: value.numpy() for name, value in stand_in_inputs(2, 50, seed).items()} for seed in range(3)]
    loose = quantization.quantize_int8(onnx_path, out, frames, target=target, max_damage=10.0, report=lines.append)
    assert loose == () and len(lines) == 1 and "4 of 4 groups in 8 bits" in lines[0]
    reference = [MapRuntime(onnx_path).run(frame) for frame in frames]
    damage = quantization.measure_damage(reference, out, frames).total
    nodes = onnx.load(out).graph.node
    assert damage > 0 and {node.op_type for node in nodes} > {"QuantizeLinear", "DequantizeLinear"}
    read = {name: node.op_type for node in nodes if node.op_type == "QuantizeLinear" for name in node.input[:1]}
    computed = {name for node in nodes if node.op_type in quantization.QUANTIZED_TYPES for name in node.output}
    assert computed and not computed & set(read), "a layer's sum is rounded before anything has read it"
    limit = 0.5 * damage
    tight = quantization.quantize_int8(
        onnx_path, out, frames, target=target, max_damage=limit, report=tight_lines.append
    )
    alone = {line.split(":")[0]: float(line.split()[-1]) for line in tight_lines if "layers" in line}
    assert set(alone) == {"embed", "mix", "score", "offset"}
    worst_last = sorted(alone, key=alone.get)
    assert tight == tuple(worst_last[-len(tight) :]) and 0 < len(tight) < 4
    assert quantization.measure_damage(reference, out, frames).total <= 0.5 * damage
    with pytest.raises(ExportError, match="no layer can be quantised"):
        quantization.quantize_int8(onnx_path, tmp_path / "none.onnx", frames[:1], target=target, max_damage=-1.0)
    assert not (tmp_path / "none.onnx").exists()


def test_half_precision_keeps_its_inputs_and_stays_near(
    town_export: Exported, calibration: list[dict], tmp_path: Path
) -> None:
    out = tmp_path / "half.onnx"
    quantization.to_float16(town_export.path, out)
    sizes = {kind: 0 for kind in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)}
    for tensor in onnx.load(out).graph.initializer:
        if tensor.data_type in sizes:
            sizes[tensor.data_type] += math.prod(tensor.dims)
    assert sizes[onnx.TensorProto.FLOAT] < 0.05 * sizes[onnx.TensorProto.FLOAT16]
    reference = [MapRuntime(town_export.path).run(frame) for frame in calibration[:1]]
    assert quantization.measure_damage(reference, out, calibration[:1]).score < 0.02
    assert MapRuntime(out).metadata == town_export.plan.metadata


def test_the_runtime_processes_raw_frames_without_pytorch(town_export: Exported, tmp_path: Path) -> None:
    frame = town_export.frame(0)
    arrays = {f"image_{name}": frame.cameras[name].image for name in CAMERAS}
    arrays |= {f"k_{name}": frame.cameras[name].intrinsics for name in CAMERAS}
    arrays |= {f"pose_{name}": frame.cameras[name].ego_from_camera for name in CAMERAS}
    np.savez(tmp_path / "frame.npz", points=frame.lidar.points, lidar=frame.lidar.ego_from_lidar, **arrays)
    code = f"""
import sys, numpy as np
from mapstack.export.runtime import MapRuntime
from mapstack.export.sensors import CameraImage, LidarSweep, SensorFrame
from mapstack.export.messages import to_message
data = np.load({str(tmp_path / "frame.npz")!r})
cameras = {{n: CameraImage(data["image_" + n], data["k_" + n], data["pose_" + n]) for n in {CAMERAS!r}}}
sweep = LidarSweep(data["points"], data["lidar"], 255.0, 0, np.eye(4))
runtime = MapRuntime({str(town_export.path)!r}, resizer="numpy")
result = runtime.process(SensorFrame(0, np.eye(4), cameras, sweep))
assert not result.broken and len(result.prediction) == 20, result.broken
assert result.lanelet2((8.0, 49.0)).startswith("<?xml") and len(to_message(result).elements) == 20
heavy = {{"torch", "mmengine", "matplotlib", "onnx", "scipy", "cv2", "shapely", "pyproj"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
