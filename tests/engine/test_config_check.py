"""A misspelt key or type ends in one ConfigError that names it, its place and the nearest right one."""

import inspect
from pathlib import Path

import pytest

from mapstack.engine import load_config
from mapstack.engine.config_check import PLAIN_DICTS, accepted_keys, check_config
from mapstack.errors import ConfigError
from mapstack.geometry import BEVGrid

from .toy import write_config


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model.widht": 4}, "model.widht: ToyModel has no argument 'widht'; did you mean 'width'?"),
        ({"model.type": "ToyModle"}, "model: there is no type 'ToyModle'; did you mean 'ToyModel'?"),
        ({"train_dataloader.batchsize": 2}, "has no argument 'batchsize'; did you mean 'batch_size'?"),
        ({"train_dataloader.dataset.sizes": 2}, "train_dataloader.dataset.sizes: ToyDataset has no argument"),
        ({"train_dataloader.sampler.shufle": 1}, "did you mean 'shuffle'?"),
        ({"optim_wrapper.optimizer.weight_dcay": 0.1}, "did you mean 'weight_decay'?"),
        ({"optim_wrapper.clip_gard": None}, "optim_wrapper has no argument 'clip_gard'; did you mean 'clip_grad'?"),
        ({"optim_wrapper.paramwise_cfg.norm_decay": 0}, "did you mean 'norm_decay_mult'?"),
        ({"param_scheduler.0.start_facto": 1}, "did you mean 'start_factor'?"),
        ({"train_cfg.max_iter": 5}, "ResumableTrainLoop has no argument 'max_iter'; did you mean 'max_iters'?"),
        ({"default_hooks.checkpoint.intervall": 5}, "AtomicCheckpointHook has no argument 'intervall'"),
        ({"default_hooks.chekpoint": {"type": "AtomicCheckpointHook"}}, "did you mean 'checkpoint'?"),
        ({"custom_hooks.1.momentun": 0.1}, "EMAHook has no argument 'momentun'; did you mean 'momentum'?"),
        ({"val_evaluator.type": "TooMetric"}, "did you mean 'ToyMetric'?"),
        ({"visualizer.vis_backends.1.typ": "x"}, "visualizer.vis_backends[1].typ"),
        ({"log_processor.window": 5}, "did you mean 'window_size'?"),
        ({"env_cfg.cudnn_benchmak": True}, "did you mean 'cudnn_benchmark'?"),
        ({"randomness.sead": 1}, "did you mean 'seed'?"),
        ({"optim_wraper": {}}, "'optim_wraper' is no section of a config; did you mean 'optim_wrapper'?"),
        ({"grid.cell": 0.3}, "grid has no argument 'cell'; did you mean 'cell_m'?"),
    ],
)
def test_misspelling_is_named_with_its_mend(tmp_path: Path, options: dict, message: str) -> None:
    path = write_config(tmp_path)
    with pytest.raises(ConfigError) as error:
        load_config(path, options)
    assert message in str(error.value)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_right_config_and_own_variables_pass(tmp_path: Path) -> None:
    cfg = load_config(write_config(tmp_path, "my_own_number = 3\n"), {"train_cfg.max_iters": 5})
    assert cfg.train_cfg.max_iters == 5
    assert cfg.my_own_number == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = dict(type=", "cannot be read: SyntaxError"),
        ("_base_ = ['./nowhere.py']", "cannot be read"),
        ("x = 1 / 0", "cannot be read: ZeroDivisionError"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "broken.py").write_text(text)
    with pytest.raises(ConfigError, match=rf"broken\.py: {message}"):
        load_config(tmp_path / "broken.py")


def test_a_missing_file_is_named_with_its_neighbours(tmp_path: Path) -> None:
    write_config(tmp_path)
    with pytest.raises(ConfigError, match=r"tony\.py: no such config; .* holds toy\.py"):
        load_config(tmp_path / "tony.py")


def test_plain_grid_takes_what_the_grid_class_takes() -> None:
    assert PLAIN_DICTS["grid"] == set(inspect.signature(BEVGrid).parameters)


def test_kwargs_are_followed_to_the_parent() -> None:
    class Parent:
        def __init__(self, a: int, b: int) -> None: ...

    class Child(Parent):
        def __init__(self, c: int, **kwargs: int) -> None: ...

    class Free:
        def __init__(self, c: int, **kwargs: int) -> None: ...

    class Plain: ...

    assert accepted_keys(Child) == {"a", "b", "c"}
    assert accepted_keys(Free) is None
    assert accepted_keys(Plain) == set()


def test_types_inside_openmmlab_parts_are_looked_up_there() -> None:
    part = {"type": "mmdet.ResNet", "depth": 18, "norm_cfg": {"type": "BN", "requires_grad": True}}
    check_config({"model": {"type": "Mapper", "decoder": part}})
    with pytest.raises(
        ConfigError, match=r"model\.decoder\.detph: ResNet has no argument 'detph'; did you mean 'depth'"
    ):
        check_config({"model": {"type": "Mapper", "decoder": {**part, "detph": 18}}})
    with pytest.raises(ConfigError, match=r"model\.decoder\.norm_cfg\.esp"):
        check_config({"model": {"type": "Mapper", "decoder": {**part, "norm_cfg": {"type": "BN", "esp": 1e-3}}}})
