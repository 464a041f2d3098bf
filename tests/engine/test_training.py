"""Hooks, loop, optimizer and runner, on a toy model in this process."""

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from mmengine import Config
from torch import nn

from mapstack.engine import build_runner, enable_amp, evaluate_checkpoint, load_checkpoint_file, load_config
from mapstack.errors import ConfigError, DataError
from mapstack.registry import OPTIM_WRAPPER_CONSTRUCTORS

from .processes import Finished, run_tool
from .toy import write_config


def toy_config(folder: Path, options: dict | None = None) -> Config:
    cfg = load_config(write_config(folder), options)
    cfg.work_dir = str(folder / "work")
    return cfg


def checkpoint_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.pth*"))


@pytest.mark.parametrize(
    ("keep_last", "expected"), [(1, ["iter_10.pth"]), (None, ["iter_10.pth", "iter_4.pth", "iter_8.pth"])]
)
def test_only_the_newest_checkpoints_stay(tmp_path: Path, keep_last: int | None, expected: list[str]) -> None:
    options = {"default_hooks.checkpoint.keep_last": keep_last, "train_cfg.max_iters": 10}
    build_runner(toy_config(tmp_path, options)).train()
    assert checkpoint_names(tmp_path) == expected


def test_best_checkpoint_is_kept_beside_the_newest(tmp_path: Path) -> None:
    options = {"default_hooks.checkpoint.save_best": "toy/mAP", "default_hooks.checkpoint.keep_last": 1}
    build_runner(toy_config(tmp_path, {**options, "train_cfg.max_iters": 9})).train()
    names = checkpoint_names(tmp_path)
    assert "iter_9.pth" in names
    assert sum(name.startswith("best_toy_mAP_iter_") for name in names) == 1


def test_resuming_loads_no_sample_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from . import toy

    build_runner(toy_config(tmp_path, {"train_cfg.max_iters": 8, "train_cfg.val_begin": 99})).train()
    cfg = toy_config(tmp_path, {"train_cfg.max_iters": 10, "train_cfg.val_begin": 99})
    cfg.resume = True
    loaded, original = [], toy.ToyDataset.__getitem__
    monkeypatch.setattr(toy.ToyDataset, "__getitem__", lambda self, i: loaded.append(i) or original(self, i))
    runner = build_runner(cfg)
    runner.train()
    assert len(loaded) == 4  # two iterations of two
    stream = iter(runner.train_dataloader.sampler.__class__(runner.train_dataloader.dataset, seed=0))
    assert [next(stream) for _ in range(20)][16:] == loaded


def test_finished_run_resumes_to_nothing_but_its_validation(tmp_path: Path) -> None:
    options = {"train_cfg.max_iters": 4}
    build_runner(toy_config(tmp_path, options)).train()
    before = (tmp_path / "work/iter_4.pth").read_bytes()
    cfg = toy_config(tmp_path, options)
    cfg.resume = True
    runner = build_runner(cfg)
    runner.train()
    assert runner.message_hub.get_scalar("val/toy/mAP").current() > 0
    assert (tmp_path / "work/iter_4.pth").read_bytes() == before


def test_resume_without_a_checkpoint_starts_from_the_beginning(tmp_path: Path) -> None:
    cfg = toy_config(tmp_path, {"train_cfg.max_iters": 2})
    cfg.resume = True
    runner = build_runner(cfg)
    runner.train()
    assert runner.iter == 2


def test_bare_weights_cannot_be_resumed_from(tmp_path: Path) -> None:
    cfg = toy_config(tmp_path)
    torch.save(build_runner(cfg).model.state_dict(), tmp_path / "bare.pth")
    cfg.resume, cfg.load_from = True, str(tmp_path / "bare.pth")
    with pytest.raises(ConfigError, match="only weights are in the checkpoint"):
        build_runner(cfg).train()


def test_checkpoint_between_two_halves_of_an_accumulation_is_refused(tmp_path: Path) -> None:
    cfg = toy_config(tmp_path, {"optim_wrapper.accumulative_counts": 3})
    with pytest.raises(ConfigError, match="interval 4 is no multiple of accumulative_counts 3.*choose 6"):
        build_runner(cfg).train()


def test_sampler_that_cannot_skip_is_refused(tmp_path: Path) -> None:
    cfg = toy_config(tmp_path)
    cfg.train_dataloader.sampler = dict(type="InfiniteSampler")
    with pytest.raises(ConfigError, match=r"train_dataloader\.sampler is InfiniteSampler.*ResumableSampler"):
        build_runner(cfg).train()


def test_seed_decides_weights_and_order(tmp_path: Path) -> None:
    ends = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        cfg = toy_config(tmp_path / name, {"randomness.seed": seed, "train_cfg.max_iters": 3})
        ends.append(torch.cat([p.flatten() for p in build_runner(cfg).train().parameters()]))
    assert torch.equal(ends[0], ends[1])
    assert not torch.allclose(ends[0], ends[2])


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is deterministic only when the config asks for it")
def test_gradients_on_several_threads_add_up_in_one_order(tmp_path: Path) -> None:
    build_runner(toy_config(tmp_path))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    canvas = torch.randn(400, 32, requires_grad=True)
    index, weight = torch.randint(0, 400, (60_000,)), torch.randn(60_000, 32)
    gradients = [torch.autograd.grad((canvas[index] * weight).sum(), canvas)[0] for _ in range(5)]
    torch.set_num_threads(threads)
    assert all(torch.equal(gradients[0], other) for other in gradients[1:])


def test_bfloat16_trains_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from .toy import ToyModel

    seen = []
    original = ToyModel.forward
    monkeypatch.setattr(
        ToyModel,
        "forward",
        lambda self, *args, **kw: (seen.append(torch.is_autocast_enabled("cpu")), original(self, *args, **kw))[1],
    )
    cfg = toy_config(tmp_path, {"train_cfg.max_iters": 3, "train_cfg.val_begin": 99})
    enable_amp(cfg, "bfloat16")
    model = build_runner(cfg).train()
    assert seen == [True] * 3
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in model.parameters())
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="float16 training needs a GPU"):
            enable_amp(cfg, "float16")


def test_schedule_without_an_end_ends_with_the_training(tmp_path: Path) -> None:
    options = {"train_cfg.max_iters": 150, "train_cfg.val_begin": 999, "default_hooks.checkpoint.interval": 150}
    runner = build_runner(toy_config(tmp_path, options))
    runner.train()
    rates = runner.message_hub.get_scalar("train/lr").data[0]
    assert rates.argmax() == pytest.approx(100, abs=2)  # the warm-up's end
    assert rates[-1] == pytest.approx(0.01 * 6e-4, rel=0.2)  # eta_min_ratio of the peak


def test_log_lines_fit_a_terminal_and_say_what_is_left(tmp_path: Path) -> None:
    build_runner(toy_config(tmp_path, {"train_cfg.max_iters": 12})).train()
    log = next((tmp_path / "work").rglob("*.log")).read_text()
    lines = [line.split(" - ", 3)[-1] for line in log.splitlines() if "INFO - train " in line]
    assert len(lines) == 2
    assert re.match(r"train +6/12 +50%  eta 0:00:0\d  0\.\d{3} s/it \(data 0\.\d{3}\)  lr \d\.\de-\d\d ", lines[0])
    assert max(map(len, lines)) < 160
    assert "val done  toy/mAP 0." in log
    assert len(log.splitlines()) < 40, "the start-up is noisy"


def test_tensorboard_has_the_scalars(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    build_runner(toy_config(tmp_path, {"train_cfg.max_iters": 12})).train()
    events = EventAccumulator(str(next((tmp_path / "work").rglob("events.out.tfevents.*")).parent)).Reload()
    assert {"train/loss", "train/lr", "val/toy/mAP"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("train/loss")] == [6, 12]


def test_scoring_uses_the_averaged_weights(tmp_path: Path) -> None:
    runner = build_runner(toy_config(tmp_path, {"train_cfg.max_iters": 12}))
    runner.train()
    validated = runner.message_hub.get_scalar("val/toy/mAP").current()
    checkpoint = tmp_path / "work/iter_12.pth"
    scored = evaluate_checkpoint(toy_config(tmp_path), checkpoint, tmp_path / "out")
    assert scored["toy/mAP"] == pytest.approx(float(validated), abs=1e-12)
    loaded = load_checkpoint_file(checkpoint)
    assert torch.equal(loaded["ema_state_dict"]["module.net.0.weight"], runner.model.net[0].weight)
    assert not torch.equal(loaded["state_dict"]["net.0.weight"], runner.model.net[0].weight)


def test_scoring_another_models_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "other.pth")
    with pytest.raises(DataError, match=r"other\.pth is not of this config's ToyModel: it has bias, which the model"):
        evaluate_checkpoint(toy_config(tmp_path), tmp_path / "other.pth", tmp_path / "out")


def group_sizes(rules: dict | None) -> dict[tuple[float, float], int]:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4))
    model[2].weight.requires_grad_(False)
    cfg = {"optimizer": {"type": "AdamW", "lr": 1.0, "weight_decay": 0.5}}
    build = {"type": "GroupedOptimConstructor", "optim_wrapper_cfg": cfg, "paramwise_cfg": rules}
    groups = OPTIM_WRAPPER_CONSTRUCTORS.build(build)(model).optimizer.param_groups
    return {(group["lr"], group["weight_decay"]): len(group["params"]) for group in groups}


def test_parameters_are_grouped_by_rule() -> None:
    assert group_sizes(None) == {(1.0, 0.5): 5}
    assert group_sizes({"norm_decay_mult": 0.0, "bias_decay_mult": 0.1}) == {
        (1.0, 0.5): 1,
        (1.0, 0.05): 2,
        (1.0, 0.0): 2,
    }
    rules = {"custom_keys": {"0": {"lr_mult": 0.1}, "0.bias": {"lr_mult": 2.0, "decay_mult": 0.0}}}
    assert group_sizes(rules) == {(0.1, 0.5): 1, (2.0, 0.0): 1, (1.0, 0.5): 3}


@pytest.mark.parametrize(
    ("rules", "message"),
    [({"custom_keys": {"backbone": {}}}, "no parameter's name has 'backbone'"), ({"norm": 1}, "no paramwise_cfg rule")],
)
def test_rules_that_match_nothing_are_refused(rules: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        group_sizes(rules)


def test_test_tool_prints_scores_and_refuses_clearly(tmp_path: Path) -> None:
    cfg = toy_config(tmp_path)
    torch.save(build_runner(cfg).model.state_dict(), tmp_path / "w.pth")
    done = run_tool("test.py", cfg.filename, tmp_path / "w.pth", "--out", tmp_path / "out")
    assert done.returncode == 0, done.output
    assert re.search(r"^toy/mAP 0\.\d{4}$", done.output, re.MULTILINE)
    failed = run_tool("test.py", cfg.filename, tmp_path / "gone.pth", "--out", tmp_path / "out")
    assert failed.returncode == 1
    assert failed.last_line == f"error: {tmp_path}/gone.pth: no such checkpoint"


def test_two_processes_on_a_cpu_train_resume_and_score(tmp_path: Path) -> None:
    """What torchrun starts; each rank has its random state, and every frame is scored once."""
    config = write_config(tmp_path)
    common = ("--launcher", "pytorch", "--cfg-options", "train_cfg.val_interval=99")
    first = ("--work-dir", tmp_path / "work", *common, "train_cfg.max_iters=4")
    for arguments in (first, ("--work-dir", tmp_path / "work", "--resume", *common, "train_cfg.max_iters=8")):
        done = run_ranks("train.py", config, *arguments)
        assert [end.returncode for end in done] == [0, 0], done[0].output + done[1].output
    loaded = load_checkpoint_file(tmp_path / "work/iter_8.pth")
    assert len(loaded["random_states"]) == 2
    alone = run_tool("test.py", config, tmp_path / "work/iter_8.pth", "--out", tmp_path / "alone")
    both = run_ranks(
        "test.py", config, tmp_path / "work/iter_8.pth", "--out", tmp_path / "both", "--launcher", "pytorch"
    )
    score = re.compile(r"^toy/mAP 0\.\d{4}$", re.MULTILINE)
    assert score.findall(both[0].output) == score.findall(alone.output) != []


def run_ranks(tool: str, *arguments: object) -> list[Finished]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    with ThreadPoolExecutor(2) as pool:
        ranks = [
            pool.submit(run_tool, tool, *arguments, env={**shared, "RANK": rank, "LOCAL_RANK": rank}) for rank in "01"
        ]
        return [rank.result() for rank in ranks]
