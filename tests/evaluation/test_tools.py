"""The command lines, and the comparison behind one of them."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from mapstack.errors import DataError
from mapstack.evaluation import Options, compare, evaluate, write_submission

from .sets import perfect, random_set

TOOLS = Path(__file__).parents[2] / "tools"
META = {"classes": ["divider", "ped_crossing", "boundary"], "rules": {"divider": "painted", "origin": "ego"}}


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tools_{name}", TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    predictions, targets = random_set(61, num_frames=30)
    paths = {name: tmp_path / f"{name}.json" for name in ("noisy", "perfect", "gt")}
    write_submission(paths["noisy"], predictions.items(), {"classes": META["classes"]})
    write_submission(paths["perfect"], perfect(targets).items())
    write_submission(paths["gt"], targets.items(), META)
    return paths


def test_evaluate_prints_and_writes(files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "result.json"
    arguments = [str(files["noisy"]), str(files["gt"]), "--protocol", "streammapnet_60x30", "--out", str(out)]
    assert tool("evaluate").main(arguments) == 0
    printed = capsys.readouterr().out
    assert "streammapnet_60x30 on 30 frames" in printed
    assert "divider: painted" in printed
    assert "targets simplified by 0.2 m" in printed
    assert json.loads(out.read_text())["mAP"] == evaluate(files["noisy"], files["gt"], "streammapnet_60x30").map


def test_evaluate_takes_classes_and_scenes(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    targets = json.loads(files["gt"].read_text())["results"]
    plain = {token: {key: entry[key] for key in ("vectors", "labels")} for token, entry in targets.items()}
    (tmp_path / "plain.json").write_text(json.dumps(plain))
    (tmp_path / "scenes.json").write_text(json.dumps({token: token[-1] for token in plain}))
    arguments = [str(files["perfect"]), str(tmp_path / "plain.json"), "--classes", "kerb", "paint", "zebra"]
    assert tool("evaluate").main([*arguments, "--scenes", str(tmp_path / "scenes.json"), "--replicates", "7"]) == 0
    printed = capsys.readouterr().out
    assert "zebra" in printed
    assert "7 bootstrap draws of 10 scenes" in printed


def test_evaluate_says_what_is_wrong(files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert tool("evaluate").main([str(tmp_path / "none.json"), str(files["gt"])]) == 1
    assert f"error: predictions: no file {tmp_path / 'none.json'}" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        tool("evaluate").main([str(files["noisy"]), str(files["gt"]), "--protocol", "coco"])
    assert "invalid choice: 'coco'" in capsys.readouterr().err


def test_compare_prints_and_writes(files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "differences.json"
    arguments = [str(files["noisy"]), str(files["perfect"]), "--targets", str(files["gt"]), "--out", str(out)]
    assert tool("compare").main(arguments) == 0
    printed = capsys.readouterr().out
    assert "paired bootstrap over 10 scenes, 30 frames" in printed
    assert "100.0%" in printed
    rows = {(Path(row["name"]).stem, row["row"]): row for row in json.loads(out.read_text())}
    noisy = evaluate(files["noisy"], files["gt"]).map
    assert rows["perfect", "mAP"]["difference"] == pytest.approx(1 - noisy)
    assert rows["noisy", "mAP"]["difference"] == 0.0
    assert tool("compare").main([str(files["noisy"])] * 2 + ["--targets", str(files["gt"])]) == 1
    assert "named twice" in capsys.readouterr().err


def test_a_paired_difference_is_surer_than_its_parts() -> None:
    predictions, targets = random_set(62, num_frames=60)
    rng = np.random.default_rng(0)
    worse = {
        token: {**entry, "vectors": [(np.array(v) + rng.normal(0, 0.5, 2)).tolist() for v in entry["vectors"]]}
        for token, entry in predictions.items()
    }
    results = {name: evaluate(p, targets) for name, p in (("base", predictions), ("worse", worse))}
    difference = next(d for d in compare(results) if (d.name, d.row) == ("worse", "mAP"))
    assert difference.difference == pytest.approx(results["worse"].map - results["base"].map)
    assert difference.low < difference.difference < difference.high < 0
    assert difference.share_better < 0.05
    low, high = results["base"].ci95["mAP"]
    assert difference.high - difference.low < high - low


def test_unlike_results_are_not_compared() -> None:
    predictions, targets = random_set(63)
    plain = evaluate(predictions, targets, options=Options(replicates=0))
    other = evaluate(predictions, targets, "streammapnet_60x30", options=Options(replicates=0))
    with pytest.raises(DataError, match="b and a differ in protocol; score them alike"):
        compare({"a": plain, "b": other})


def test_the_benchmark_writes_sets_that_score(tmp_path: Path) -> None:
    benchmark = tool("benchmark_evaluation")
    benchmark.write_set(tmp_path, frames=300, predictions=8, targets=4, seed=0)
    result = evaluate(tmp_path / "predictions.json", tmp_path / "targets.json")
    assert result.num_frames == 300
    assert sum(result.num_predictions.values()) == 2400
    assert result.bootstrap["num_units"] == 8
    assert 0.2 < result.map < 0.95
