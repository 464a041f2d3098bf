import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from mapstack.errors import DataError
from mapstack.export.metadata import METADATA_KEY, ModelMetadata
from mapstack.export.runtime import MapRuntime

from .conftest import METADATA, stand_in_inputs


def arrays(batch: int, num_points: int) -> dict[str, NDArray]:
    return {name: tensor.numpy() for name, tensor in stand_in_inputs(batch, num_points).items()}


def test_metadata_survives_the_file(onnx_path: Path) -> None:
    assert MapRuntime(onnx_path).metadata == METADATA
    bare = replace(METADATA, image_size=None, num_cameras=0)
    assert ModelMetadata.from_json(bare.to_json(), "here") == bare


def test_predictions_are_the_best_pairs_of_query_and_class(onnx_path: Path) -> None:
    runtime = MapRuntime(onnx_path)
    answer = runtime.run(arrays(2, 50))
    for frame, prediction in enumerate(runtime.predict(arrays(2, 50))):
        pairs = np.sort(answer["scores"][frame], axis=None)[::-1]
        assert len(prediction) == 5 and prediction.scores.tolist() == pairs[:5].tolist()
        assert prediction.points.shape == (5, 4, 2) and prediction.points.dtype == np.float32
        query = np.argwhere(answer["scores"][frame] == prediction.scores[0])[0]
        assert prediction.labels[0] == query[1]
    cut = float(pairs[2])
    assert len(runtime.predict(arrays(2, 50), min_score=cut)[1]) == 3
    assert len(runtime.predict(arrays(2, 50), min_score=1.1)[1]) == 0


def test_points_are_kept_inside_the_patch(onnx_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = MapRuntime(onnx_path)
    answer = {"scores": np.full((1, 1, 3), 0.5, np.float32), "polylines": np.full((1, 1, 4, 2), 99, np.float32)}
    monkeypatch.setattr(runtime, "run", lambda _: answer)
    plain = runtime.predict({})[0]
    assert plain.points[0, 0].tolist() == [30, 15] and plain.pose_correction is None and plain.contradicted is None
    answer |= {"pose_correction": np.array([[0.5, -1.0, 0.02]]), "contradicted": np.array([[0.9, 0.1]])}
    told = runtime.predict({})[0]
    assert told.pose_correction.tolist() == [0.5, -1.0, 0.02] and told.contradicted.tolist() == [0.9, 0.1]


def test_bad_input_is_named(onnx_path: Path) -> None:
    runtime = MapRuntime(onnx_path)
    good = arrays(1, 9)
    assert set(runtime.input_names) == set(good)
    with pytest.raises(DataError, match=r"needs the inputs \['pose'\]"):
        runtime.run({"points": good["points"]})
    with pytest.raises(DataError, match="pose: the model takes"):
        runtime.run({**good, "pose": np.zeros((1, 3, 3), np.float32)})
    with pytest.raises(DataError, match="points: .* float64"):
        runtime.run({**good, "points": good["points"].astype(np.float64)})


def test_a_bad_file_is_named(onnx_path: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no model at"):
        MapRuntime(tmp_path / "missing.onnx")
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(DataError, match="text.onnx is not a model"):
        MapRuntime(tmp_path / "text.onnx")
    model = onnx.load(onnx_path)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    with pytest.raises(DataError, match="bare.onnx has no mapstack metadata"):
        MapRuntime(tmp_path / "bare.onnx")
    model.metadata_props.add(key=METADATA_KEY, value='{"format": 99}')
    onnx.save(model, tmp_path / "newer.onnx")
    with pytest.raises(DataError, match="newer.onnx has another metadata format"):
        MapRuntime(tmp_path / "newer.onnx")


def test_a_provider_that_is_not_installed_is_refused(onnx_path: Path) -> None:
    with pytest.raises(DataError, match="NoSuchProvider"):
        MapRuntime(onnx_path, providers=("NoSuchProvider",))


def test_the_runtime_imports_no_pytorch(onnx_path: Path) -> None:
    code = (
        "import sys, numpy as np; from mapstack.export.runtime import MapRuntime; "
        f"runtime = MapRuntime({str(onnx_path)!r}); "
        "inputs = {'points': np.zeros((3, 5), np.float32), 'pose': np.zeros((1, 2, 3), np.float32)}; "
        "assert len(runtime.predict(inputs)) == 1; assert runtime.metadata.grid.shape == (100, 200); "
        "heavy = {'torch', 'mmengine', 'matplotlib', 'onnx', 'scipy'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
