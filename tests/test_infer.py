"""The tools that run a trained model: on sensor data without a map, into a report, into ONNX."""

import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mapstack.datasets.sources.detect import read_unlabelled
from mapstack.engine import evaluate_checkpoint, load_config
from mapstack.errors import DataError
from mapstack.export.runtime import MapRuntime
from mapstack.maps import load_geojson
from mapstack.registry import MODELS

from .recordings import ORIGIN, STEP_M, write_recording

ROOT = Path(__file__).parent.parent
CONFIG = """
_base_ = [
    "{root}/configs/_base_/datasets/nuscenes.py",
    "{root}/configs/_base_/grids/60x30.py",
    "{root}/configs/_base_/schedules/adamw_cosine.py",
    "{root}/configs/_base_/runtime/default.py",
]
classes = _base_.classes
truth = dict(classes=classes, divider_rule=_base_.divider_rule, num_points=_base_.num_points)
images = [dict(type="LoadImages", cameras=_base_.cameras), dict(type="ResizeCropImages", size=(64, 112))]
pipeline = [
    *(images if {cameras} else []),
    dict(type="LoadLidar", num_sweeps=1),
    dict(type="VectorizeMap", grid=_base_.grid, **truth),
    dict(type="PackMapInputs"),
]
camera = dict(type="LSSEncoder", channels=8, neck_channels=8, depth_range_m=(1.0, 31.0, 2.0))
camera["backbone"] = dict(type="TimmBackbone", name="resnet10t", out_indices=(2, 3))
model = dict(
    type="Mapper",
    grid=_base_.grid,
    cell_m=1.2,
    num_classes=len(classes),
    camera=camera if {cameras} else None,
    lidar=dict(type="DynamicPillars", channels=8, pillar_channels=8),
    fusion=dict(type="ConcatFusion", channels=8) if {cameras} else None,
    decoder=dict(type="MapTRDecoder", num_queries=6, embed_dims=16, num_heads=2, num_layers=1),
)
test_dataloader = dict(batch_size=1, num_workers=0, persistent_workers=False, dataset=dict(pipeline=pipeline))
val_dataloader = test_dataloader
train_dataloader = dict(dataset=dict(pipeline=pipeline))
val_evaluator = dict(type="MapMetric", replicates=0)
test_evaluator = val_evaluator
del pipeline, images, truth, camera
"""


def run_tool(name: str, *arguments: object) -> None:
    """Run ``tools/NAME.py`` in this process, as from the command line."""
    before = sys.argv
    sys.argv = [f"tools/{name}.py", *map(str, arguments)]
    try:
        runpy.run_path(str(ROOT / "tools" / f"{name}.py"), run_name="__main__")
    finally:
        sys.argv = before


def make_model(folder: Path, cameras: bool) -> tuple[Path, Path]:
    """A small config and random weights whose scores are spread, so that there is something to draw."""
    config, weights = folder / "small.py", folder / "small.safetensors"
    config.write_text(CONFIG.replace("{root}", str(ROOT)).replace("{cameras}", str(cameras)))
    torch.manual_seed(0)
    model = MODELS.build(load_config(config).model)
    with torch.no_grad():
        model.decoder.proposals.heat.weight.mul_(300)
        model.decoder.classify[-1][-1].bias.zero_()
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, weights)
    return config, weights


@pytest.fixture(scope="module")
def fused(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_model(tmp_path_factory.mktemp("fused"), cameras=True)


@pytest.fixture(scope="module")
def lidar_only(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_model(tmp_path_factory.mktemp("lidar"), cameras=False)


def frames_of(out: Path) -> dict[str, dict]:
    return json.loads((out / "predictions.json").read_text())["results"]


def test_the_real_keyframe_runs_end_to_end(fused: tuple[Path, Path], shared: Path, tmp_path: Path) -> None:
    run_tool("infer", *fused, "--input", shared / "data" / "nuscenes_keyframe", "--out", tmp_path, "--min-score", 0.0)
    (token,) = frames_of(tmp_path)
    assert token.startswith("ca9a282c")
    vector_map = load_geojson(tmp_path / "geojson" / f"{token}.geojson")
    shapes = [shape for layer in vector_map.layers.values() for shape in layer.geometries]
    assert len(shapes) == 6
    # The ego stands at (411, 1181) in the world and sees 34 m at most.
    assert all(np.hypot(shape.centroid.x - 411.3, shape.centroid.y - 1180.9) < 34 for shape in shapes)
    cameras = cv2.imread(str(tmp_path / "pictures" / f"{token}_cameras.jpg"))
    assert cameras.shape == (2 * 360, 3 * 640, 3) and cameras.std() > 20
    assert cv2.imread(str(tmp_path / "pictures" / f"{token}_bev.png")).std() > 5


def test_a_recording_of_ones_own_runs_and_its_map_is_left_alone(fused: tuple[Path, Path], tmp_path: Path) -> None:
    folder = write_recording(tmp_path / "drive")
    bare = write_recording(tmp_path / "bare", with_map=False)
    results = []
    for source, out in ((folder, tmp_path / "out"), (bare, tmp_path / "out_bare")):
        run_tool("infer", *fused, "--input", source, "--out", out, "--cameras", "--min-score", 0.0)
        results.append(frames_of(out))
    assert sorted(results[0]) == ["drive_1000000000", "drive_1500000000"]
    for with_map, without in zip(results[0].values(), results[1].values(), strict=True):
        assert with_map["vectors"] == without["vectors"] and with_map["scores"] == without["scores"]
    # The same vectors stand in the GeoJSON moved by the ego pose, which advances by STEP_M.
    content = json.loads((tmp_path / "out" / "geojson" / "drive_1500000000.geojson").read_text())
    vectors = results[0]["drive_1500000000"]["vectors"]
    for feature in content["features"]:
        number = int(feature["properties"]["token"].rpartition("_")[2])
        rows = feature["geometry"]["coordinates"]
        rows = rows[0] if feature["geometry"]["type"] == "Polygon" else rows
        expected = np.array(vectors[number]) + [ORIGIN[0] + STEP_M, ORIGIN[1]]
        np.testing.assert_allclose(np.array(rows)[: len(expected)], expected, atol=2e-3)


def test_a_real_argoverse_log_runs_on_its_lidar(lidar_only: tuple[Path, Path], shared: Path, tmp_path: Path) -> None:
    log = next((shared / "data" / "argoverse2" / "sensor" / "val").glob("adcf7d18*"))
    run_tool("infer", *lidar_only, "--input", log, "--out", tmp_path, "--min-score", 0.0)
    (token,) = frames_of(tmp_path)
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == [f"{token}_bev.png"]


def test_what_cannot_run_says_why(fused: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match=r"error: .*empty is no recording: expected v1.0"):
        run_tool("infer", *fused, "--input", tmp_path / "empty", "--out", tmp_path / "out")
    folder = write_recording(tmp_path / "drive", with_cameras=False)
    with pytest.raises(SystemExit, match=r"error: drive_1000000000 has no camera"):
        run_tool("infer", *fused, "--input", folder, "--out", tmp_path / "out")
    with pytest.raises(SystemExit, match=r"error: .*missing.pth: no such checkpoint"):
        run_tool("infer", fused[0], tmp_path / "missing.pth", "--input", folder, "--out", tmp_path / "out")


def test_several_versions_of_nuscenes_tables_are_refused(tmp_path: Path) -> None:
    for version in ("v1.0-mini", "v1.0-trainval"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "sample.json").write_text("[]")
    with pytest.raises(DataError, match=r"v1.0-mini, v1.0-trainval"):
        read_unlabelled(tmp_path)


@pytest.fixture(scope="module")
def tested(fused: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(index, results): a recording with a map, indexed and scored."""
    folder = tmp_path_factory.mktemp("tested")
    write_recording(folder / "drive", num_frames=3)
    index = folder / "index"
    run_tool("prepare_recording", "--root", folder / "drive", "--out", index)
    (path,) = index.glob("*.parquet")
    options = {"test_dataloader.dataset.ann_file": str(path)}
    cfg = load_config(fused[0], options)
    for transform in cfg.test_dataloader.dataset.pipeline:
        if transform["type"] == "LoadImages":
            transform["cameras"] = None
    evaluate_checkpoint(cfg, fused[1], folder / "results")
    return path, folder / "results"


def test_a_report_of_a_test_is_one_page(fused: tuple[Path, Path], tested: tuple[Path, Path], tmp_path: Path) -> None:
    index, results = tested
    page = tmp_path / "report.html"
    run_tool("report", fused[0], results, "--index", index, "--out", page, "--min-score", 0.0, "--frames", 1)
    text = page.read_text()
    mean_ap = json.loads((results / "metrics.json").read_text())["maptr/mAP"]
    assert f"{mean_ap:.3f} <small>maptr/mAP</small>" in text
    assert text.count('class="frame"') == 2 and text.count('class="cameras"') == 2 and text.count("<image") == 2 * 4
    assert "nearest target" in text and "maptrv2" in text and "By distance" in text and "AP 0." in text
    assert "http-equiv" in text and "src=" not in text and 'href="http' not in text


def test_a_report_without_results_says_what_writes_them(fused: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: .*metrics.json is missing; tools/test.py"):
        run_tool("report", fused[0], tmp_path)


def test_the_real_model_exports_and_agrees(
    lidar_only: tuple[Path, Path], tested: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "model.onnx"
    run_tool("export_onnx", *lidar_only, "--out", path, "--index", tested[0], "--frames", 2)
    assert "over 4 frames ONNX Runtime differs by at most 0.0" in capsys.readouterr().out
    runtime = MapRuntime(path)
    assert runtime.metadata.classes == ("divider", "ped_crossing", "boundary")
    assert runtime.metadata.grid.size_m == (60, 30) and runtime.metadata.image_size is None
    points = np.zeros((3, 6), np.float32)
    points[:, 1] = [0, 5, 10]
    (prediction,) = runtime.predict({"points": points, "batch_zeros": np.zeros(1, np.float32)})
    assert len(prediction) == 6 and np.isfinite(prediction.points).all()
