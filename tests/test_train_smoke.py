"""The real configs on the tiny town: a few iterations, killed and resumed, scored; every file is where it belongs."""

import json
import signal
from pathlib import Path

import pytest
import torch

from mapstack.datasets import read_index
from mapstack.engine import load_checkpoint_file, save_weights

from .engine.processes import Finished, run_tool
from .engine.test_resume import differences

ROOT = Path(__file__).parents[1]
FUSED = "maptr_lss-pillars_60x30_town"
SHORT = """
_base_ = ["{base}"]
custom_imports = dict(imports=["tests.engine.toy"])
custom_hooks = [*_base_.custom_hooks, dict(type="KillHook")]
train_cfg = dict(max_iters=4, val_begin=99)
train_dataloader = dict(batch_size=2, num_workers={workers}, persistent_workers=False, dataset=dict(ann_file="{train}"))
val_dataloader = dict(batch_size=3, num_workers=0, persistent_workers=False, dataset=dict(ann_file="{val}"))
test_dataloader = val_dataloader
default_hooks = dict(checkpoint=dict(interval=2), logger=dict(interval=1))
"""


def short_config(folder: Path, name: str, index: dict[str, Path], workers: int = 0) -> Path:
    path = folder / f"{name}-{workers}.py"
    base = ROOT / f"configs/town/{name}.py"
    path.write_text(SHORT.format(base=base, workers=workers, train=index["train"], val=index["val"]))
    return path


def train(config: Path, work_dir: Path, *options: str, kill: str = ":0") -> Finished:
    return run_tool("train.py", config, "--work-dir", work_dir, *options, env={"TOY_KILL": kill})


def test_killed_training_resumes_bit_for_bit_and_is_scored(tmp_path: Path, town_index: dict[str, Path]) -> None:
    config = short_config(tmp_path, FUSED, town_index, workers=1)
    whole = train(config, tmp_path / "whole")
    assert whole.returncode == 0, whole.output
    died = train(config, tmp_path / "killed", kill="write:4")
    assert died.returncode == -signal.SIGKILL, died.output
    resumed = train(config, tmp_path / "killed", "--resume")
    assert resumed.returncode == 0, resumed.output
    expected, found = (load_checkpoint_file(tmp_path / name / "iter_4.pth") for name in ("whole", "killed"))
    for part in ("state_dict", "ema_state_dict", "optimizer", "random_states"):
        assert differences(expected[part], found[part], part) == []

    weights = tmp_path / "weights.safetensors"
    save_weights(expected, weights)
    scores = []
    for checkpoint, out in ((tmp_path / "whole/iter_4.pth", tmp_path / "a"), (weights, tmp_path / "b")):
        scored = run_tool("test.py", config, checkpoint, "--out", out)
        assert scored.returncode == 0, scored.output
        scores.append(json.loads((out / "metrics.json").read_text()))
        predictions = json.loads((out / "predictions.json").read_text())
        assert set(predictions["results"]) == set(read_index(town_index["val"]).column("token"))
    assert 0.0 <= scores[0]["maptr/mAP"] <= 1.0
    assert scores[0] == scores[1]


@pytest.mark.parametrize("name", ["maptr_lss_60x30_town", "maptr_pillars_60x30_town", "maptr_lss-pillars_100x50_town"])
def test_other_sensors_and_ranges_train_and_score(tmp_path: Path, town_index: dict[str, Path], name: str) -> None:
    config = short_config(tmp_path, name, town_index)
    trained = train(config, tmp_path / "work", "--cfg-options", "train_cfg.max_iters=2")
    assert trained.returncode == 0, trained.output
    scored = run_tool("test.py", config, tmp_path / "work/iter_2.pth", "--out", tmp_path / "out")
    assert scored.returncode == 0, scored.output
    assert "maptr/mAP" in json.loads((tmp_path / "out/metrics.json").read_text())


def test_mixed_precision_trains_on_a_cpu(tmp_path: Path, town_index: dict[str, Path]) -> None:
    config = short_config(tmp_path, FUSED, town_index)
    trained = train(config, tmp_path / "work", "--amp", "bfloat16", "--cfg-options", "train_cfg.max_iters=2")
    assert trained.returncode == 0, trained.output
    weights = load_checkpoint_file(tmp_path / "work/iter_2.pth")["state_dict"]
    assert all(value.isfinite().all() for value in weights.values() if torch.is_floating_point(value))


def test_shipped_weights_map_a_town_that_they_have_not_seen(tmp_path: Path, town_index: dict[str, Path]) -> None:
    """They load into today's config and mean what they meant: a model that changed beneath them would score nothing."""
    config = short_config(tmp_path, FUSED, town_index)
    weights = ROOT / "data/weights/maptr_lss-pillars_60x30_town.safetensors"
    scored = run_tool("test.py", config, weights, "--out", tmp_path / "out")
    assert scored.returncode == 0, scored.output
    assert json.loads((tmp_path / "out/metrics.json").read_text())["maptr/mAP"] > 0.2
