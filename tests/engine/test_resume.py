"""A run killed at any moment and resumed ends in the same bits as one that nobody touched."""

import random
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from mapstack.engine.checkpoints import latest_checkpoint, load_checkpoint_file

from .processes import Finished, run_tool
from .toy import write_config

# 24 iterations, a checkpoint every 4, validation every 7. "Random" is drawn once, so that a failure can be repeated.
RANDOM_ITER = random.Random(3).randrange(1, 24)
DEATHS = (f"iter:{RANDOM_ITER}", "write:12", "save:16", "val:14", "val:24")


def train(config: Path, work_dir: Path, *options: str, kill: str = ":0") -> Finished:
    return run_tool("train.py", config, "--work-dir", work_dir, *options, env={"TOY_KILL": kill})


def differences(a: object, b: object, place: str = "") -> list[str]:
    """Places where two checkpoints are not the same bits."""
    if isinstance(a, torch.Tensor):
        return [] if a.dtype == b.dtype and torch.equal(a, b) else [place]
    if isinstance(a, Mapping):
        if a.keys() != b.keys():
            return [f"{place}: {a.keys() ^ b.keys()}"]
        return [found for key in a for found in differences(a[key], b[key], f"{place}.{key}")]
    if isinstance(a, list | tuple):
        if len(a) != len(b):
            return [f"{place}: {len(a)} and {len(b)}"]
        pairs = zip(a, b, strict=True)
        return [found for i, (x, y) in enumerate(pairs) for found in differences(x, y, f"{place}[{i}]")]
    return [] if a == b else [f"{place}: {a} and {b}"]


def test_killed_and_resumed_run_is_bit_identical(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    whole = train(config, tmp_path / "whole")
    assert whole.returncode == 0, whole.output
    for kill in DEATHS:
        # A worker loads ahead of the iteration that is killed; nothing of that may be lost or trained twice.
        died = train(
            config, tmp_path / "killed", "--resume", "--cfg-options", "train_dataloader.num_workers=1", kill=kill
        )
        assert died.returncode == -signal.SIGKILL, (kill, died.output)
        for path in (tmp_path / "killed").glob("iter_*.pth"):
            load_checkpoint_file(path)  # whole, whenever the kill came
    last = train(config, tmp_path / "killed", "--resume")
    assert last.returncode == 0, last.output
    assert "val done" in last.output  # the validation that the last kill interrupted

    expected = load_checkpoint_file(tmp_path / "whole/iter_24.pth")
    found = load_checkpoint_file(tmp_path / "killed/iter_24.pth")
    for part in ("state_dict", "ema_state_dict", "optimizer", "param_schedulers", "random_states"):
        assert differences(expected[part], found[part], part) == []
    assert sorted(path.name for path in (tmp_path / "killed").glob("*.pth*")) == ["iter_20.pth", "iter_24.pth"]


def test_a_new_run_does_not_walk_over_an_old_one(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    (tmp_path / "work").mkdir()
    (tmp_path / "work/iter_4.pth").write_bytes(b"")
    result = train(config, tmp_path / "work")
    assert result.returncode == 1
    assert result.last_line.startswith("error: ")
    assert "--resume" in result.last_line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--seed", "7", "--resume"), "had seed 0, not 7; set --seed"),
        (("--cfg-options", "train_cfg.max_iter=3"), "did you mean 'max_iters'?"),
        (("--cfg-options", "train_dataloader.dataset.bad_from=0"), "loss_noise is nan; frames frame-"),
        (("--load-from", "nowhere.pth"), "nowhere.pth: no such checkpoint"),
    ],
)
def test_a_wrong_command_ends_in_one_clear_line(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    config = write_config(tmp_path)
    if "--resume" in options:
        assert train(config, tmp_path / "work", "--cfg-options", "train_cfg.max_iters=4").returncode == 0
    result = train(config, tmp_path / "work", *options)
    assert result.returncode == 1
    assert message in result.last_line
    if "nan" in message:
        assert latest_checkpoint(tmp_path / "work") is None, "spoilt weights were saved"
