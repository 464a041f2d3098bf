"""Every config builds: model, pipelines, metric, hooks, optimizer; and none of its keys can be misspelt unnoticed."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from mmengine.evaluator import Evaluator
from mmengine.registry import PARAM_SCHEDULERS, VISBACKENDS

from mapstack.engine import load_config
from mapstack.engine.config_check import SECTIONS, check_config
from mapstack.errors import ConfigError
from mapstack.export.describe import describe_pipeline
from mapstack.registry import DATASETS, HOOKS, LOG_PROCESSORS, LOOPS, METRICS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(p for p in (ROOT / "configs").rglob("*.py") if not {"_base_", "tables"} & set(p.parts))
CONFIG_IDS = [str(path.relative_to(ROOT / "configs")) for path in CONFIGS]
every_config = pytest.mark.parametrize("path", CONFIGS, ids=CONFIG_IDS)


def typed_dicts(value: object, place: str = "") -> Iterator[tuple[str, dict]]:
    """Every dictionary with a ``type`` in a config, with its place."""
    if isinstance(value, Mapping):
        if "type" in value:
            yield place, value
        for key, item in value.items():
            yield from typed_dicts(item, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from typed_dicts(item, f"{place}[{i}]")


def test_there_are_configs() -> None:
    assert CONFIGS


@every_config
def test_config_builds(path: Path) -> None:
    cfg = load_config(path)
    model = MODELS.build(cfg.model)
    wrapper = OPTIM_WRAPPER_CONSTRUCTORS.build(
        {
            "type": cfg.optim_wrapper.pop("constructor"),
            "paramwise_cfg": cfg.optim_wrapper.pop("paramwise_cfg", None),
            "optim_wrapper_cfg": cfg.optim_wrapper,
        }
    )(model)
    schedules = cfg.param_scheduler if isinstance(cfg.param_scheduler, list) else [cfg.param_scheduler]
    for schedule in schedules:
        PARAM_SCHEDULERS.build({"end": cfg.train_cfg.max_iters, **schedule}, default_args={"optimizer": wrapper})
    for part in ("train", "val", "test"):
        section = cfg[f"{part}_dataloader"].dataset
        dataset = DATASETS.build({**section, "lazy_init": True})  # the index is not read: data may not be here
        assert dataset.pipeline.transforms
        assert cfg[f"{part}_dataloader"].batch_size > 0
    if cfg.model.type == "Mapper":
        assert describe_pipeline(cfg.test_dataloader.dataset.pipeline), "the runtime repeats what it was tested on"
    assert LOOPS.get(cfg.train_cfg.type)
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        Evaluator([METRICS.build(item) for item in (evaluator if isinstance(evaluator, list) else [evaluator])])
    for hook in [*cfg.default_hooks.values(), *cfg.custom_hooks]:
        HOOKS.build(hook)
    LOG_PROCESSORS.build(cfg.log_processor)
    for backend in cfg.visualizer.vis_backends:
        assert VISBACKENDS.get(backend.type)


@every_config
def test_a_misspelt_key_anywhere_is_refused(path: Path) -> None:
    cfg = load_config(path).to_dict()
    sections = {name: cfg[name] for name in cfg if name in SECTIONS}
    places = list(typed_dicts(sections))
    assert len(places) > 15
    for place, part in places:
        part["no_such_key"] = 1
        with pytest.raises(ConfigError, match="no_such_key"):
            check_config(cfg)
        del part["no_such_key"]
        kind = part["type"]
        part["type"] = f"{kind}x"
        with pytest.raises(ConfigError, match=rf"there is no type '{kind}x'; did you mean '{kind}'") as error:
            check_config(cfg)
        assert str(error.value).startswith(place.lstrip(".")), place
        part["type"] = kind


@every_config
def test_config_is_short_and_named_after_its_data(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 60, "a _base_ is missing"
    assert path.parent.parent == ROOT / "configs"
