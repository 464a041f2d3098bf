"""Checkpoints are read without running their code, and never half-written."""

import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleLR
from mmengine.runner.checkpoint import CheckpointLoader
from safetensors.torch import load_file, save_file
from torch import nn

from mapstack.engine import load_checkpoint_file, load_weights, random_state, save_weights
from mapstack.engine.checkpoints import latest_checkpoint, publish
from mapstack.errors import DataError


class Malicious:
    """Runs a command when unpickled."""

    def __reduce__(self) -> tuple:
        return os.system, ("touch /tmp/mapstack-was-here",)


class AsksForAttribute:
    """Reaches for a method of an allowed class that no checkpoint needs."""

    def __reduce__(self) -> tuple:
        return getattr, (HistoryBuffer, "update")


def test_mmengine_contents_load_without_unpickling(tmp_path: Path) -> None:
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    torch.save({"message_hub": {"train/loss": history, "lr": np.float64(0.1)}, "meta": {"iter": 3}}, tmp_path / "a.pth")
    loaded = load_checkpoint_file(tmp_path / "a.pth")
    assert loaded["message_hub"]["train/loss"].mean(2) == 1.5
    assert loaded["message_hub"]["train/loss"].statistics("max") == 2.0
    assert loaded["message_hub"]["lr"] == 0.1


@pytest.mark.parametrize("curve", ["cos", "linear"])
def test_a_one_cycle_schedule_loads_and_goes_on(tmp_path: Path, curve: str) -> None:
    def schedule() -> OneCycleLR:
        optimizer = torch.optim.AdamW(nn.Linear(2, 2).parameters(), lr=0.1)
        return OneCycleLR(optimizer, eta_max=0.1, total_steps=20, anneal_strategy=curve)

    first, second = schedule(), schedule()
    for _ in range(7):
        first.step()
    torch.save({"param_schedulers": [first.state_dict()]}, tmp_path / "a.pth")
    second.load_state_dict(load_checkpoint_file(tmp_path / "a.pth")["param_schedulers"][0])
    first.step()
    second.step()
    assert second.get_last_value() == first.get_last_value()


@pytest.mark.parametrize("content", [Malicious(), AsksForAttribute()])
def test_a_checkpoint_cannot_run_code(tmp_path: Path, content: object) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"state_dict": content}, path)
    with pytest.raises(DataError, match=r"evil\.pth is damaged, or holds objects that only unpickling could read"):
        load_checkpoint_file(path)
    assert not Path("/tmp/mapstack-was-here").exists()


def test_mmengine_itself_reads_through_the_safe_loader(tmp_path: Path) -> None:
    torch.save(Malicious(), tmp_path / "evil.pth")
    with pytest.raises(DataError):
        CheckpointLoader.load_checkpoint(str(tmp_path / "evil.pth"), map_location="cpu")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_truncated_file_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": nn.Linear(64, 64).state_dict()}, path)
    else:
        save_file(nn.Linear(64, 64).state_dict(), path)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(DataError, match=rf"cut\{suffix}.*damaged"):
        load_checkpoint_file(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=rf"cut\{suffix}.*damaged"):
        load_checkpoint_file(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.pth: no such checkpoint"):
        load_checkpoint_file(tmp_path / "gone.pth")


@pytest.mark.parametrize("form", ["mmengine", "bare", "safetensors"])
def test_weights_load_from_every_form(tmp_path: Path, form: str) -> None:
    source, target = nn.Linear(3, 2), nn.Linear(3, 2)
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pth")
    if form == "mmengine":
        torch.save({"state_dict": source.state_dict(), "meta": {}}, path)
    elif form == "bare":
        torch.save(source.state_dict(), path)
    else:
        save_weights({"state_dict": source.state_dict()}, path)
    load_weights(target, path)
    assert torch.equal(target.weight, source.weight)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop("bias"), "lacks bias"),
        (lambda weights: weights.update(extra=torch.ones(1)), "has extra"),
        (lambda weights: weights.update(weight=torch.ones(4, 4)), r"has weight of shape \(4, 4\), the model \(2, 3\)"),
    ],
)
def test_weights_of_another_model_are_refused(tmp_path: Path, change: object, message: str) -> None:
    weights = nn.Linear(3, 2).state_dict()
    change(weights)
    torch.save(weights, tmp_path / "w.pth")
    with pytest.raises(DataError, match=message):
        load_weights(nn.Linear(3, 2), tmp_path / "w.pth")


def test_saved_weights_hold_shared_tensors_once_each(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    save_weights({"state_dict": {"a": shared, "b": shared, "c": shared.view(2, 3).t()}}, tmp_path / "w.safetensors")
    loaded = load_file(tmp_path / "w.safetensors")
    assert torch.equal(loaded["a"], loaded["b"])
    assert torch.equal(loaded["c"], shared.view(2, 3).t())
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_half_weights_are_half_the_size_and_load_as_floats(tmp_path: Path) -> None:
    source, target = (nn.Sequential(nn.Conv2d(8, 64, 3), nn.BatchNorm2d(64)) for _ in range(2))
    source[1].running_var.fill_(1e6)  # beyond what float16 holds
    for half in (False, True):
        save_weights({"state_dict": source.state_dict()}, tmp_path / f"{half}.safetensors", half=half)
    sizes = [(tmp_path / f"{half}.safetensors").stat().st_size for half in (False, True)]
    assert sizes[1] < 0.65 * sizes[0]
    load_weights(target, tmp_path / "True.safetensors")
    assert target[0].weight.dtype == torch.float32
    torch.testing.assert_close(target[0].weight, source[0].weight, rtol=1e-3, atol=1e-6)
    assert torch.equal(target[1].running_var, source[1].running_var)
    assert target[1].num_batches_tracked.dtype == torch.int64


def test_publish_replaces_a_file_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "a.part").write_text("new")
    publish(tmp_path / "a.part", tmp_path / "a")
    assert (tmp_path / "a").read_text() == "new"
    assert not (tmp_path / "a.part").exists()


def test_latest_checkpoint_counts_by_number_and_ignores_the_rest(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) is None
    for name in ("iter_9.pth", "iter_10.pth", "iter_11.pth.part", "best_maptr_mAP_iter_12.pth", "iter_x.pth"):
        (tmp_path / name).touch()
    (tmp_path / "last_checkpoint").write_text("")  # what a kill leaves of MMEngine's note
    assert latest_checkpoint(tmp_path) == tmp_path / "iter_10.pth"


def draw() -> tuple[float, float, float]:
    return random.random(), np.random.rand(), float(torch.rand(1))  # noqa: NPY002 - the global generators are tested


def test_random_states_survive_the_safe_loader(tmp_path: Path) -> None:
    draw()
    torch.save(random_state.capture(), tmp_path / "r.pth")
    expected = [draw(), draw()]
    random_state.restore(load_checkpoint_file(tmp_path / "r.pth"))
    assert [draw(), draw()] == expected


def test_a_preserved_block_leaves_no_trace() -> None:
    before = random_state.capture()
    expected = draw()
    random_state.restore(before)
    with random_state.preserved():
        draw()
    assert draw() == expected
