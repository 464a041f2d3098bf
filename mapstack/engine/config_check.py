"""Find the key or type in a config that does not exist, before anything is built from it."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping

from mmengine import registry as mmengine_registry
from mmengine.optim import OptimWrapper
from mmengine.registry import Registry
from mmengine.runner import LogProcessor, Runner, TestLoop, ValLoop
from torch import nn
from torch.utils.data import DataLoader

from mapstack import registry
from mapstack.errors import ConfigError
from mapstack.openmmlab import ensure_openmmlab

__all__ = ["PLAIN_DICTS", "accepted_keys", "check_config"]

# Where the types of each top-level section are looked up, first hit wins.
_DATA = (registry.DATASETS, registry.TRANSFORMS, registry.DATA_SAMPLERS, mmengine_registry.FUNCTIONS)
_METRIC = (registry.METRICS, mmengine_registry.EVALUATOR)
_LOOP = (registry.LOOPS,)
SECTIONS: dict[str, tuple[Registry, ...]] = {
    "model": (registry.MODELS, registry.TASK_UTILS, mmengine_registry.WEIGHT_INITIALIZERS),
    "data_preprocessor": (registry.MODELS,),
    "train_dataloader": _DATA,
    "val_dataloader": _DATA,
    "test_dataloader": _DATA,
    "val_evaluator": _METRIC,
    "test_evaluator": _METRIC,
    "train_cfg": _LOOP,
    "val_cfg": _LOOP,
    "test_cfg": _LOOP,
    "default_hooks": (registry.HOOKS,),
    "custom_hooks": (registry.HOOKS,),
    "optim_wrapper": (
        registry.OPTIM_WRAPPERS,
        mmengine_registry.OPTIMIZERS,
        registry.OPTIM_WRAPPER_CONSTRUCTORS,
    ),
    "param_scheduler": (mmengine_registry.PARAM_SCHEDULERS,),
    "visualizer": (mmengine_registry.VISUALIZERS, mmengine_registry.VISBACKENDS),
    "log_processor": (registry.LOG_PROCESSORS,),
}
# Keys that MMEngine takes out of a section's dict before it calls the constructor.
CONSUMED = {
    "optim_wrapper": {"constructor", "paramwise_cfg"},
    "param_scheduler": {"convert_to_iter_based"},
    "default_hooks": {"priority"},
    "custom_hooks": {"priority"},
    "model": {"requires_grad"},  # of a norm_cfg
}
# Constructors whose **kwargs go to another type, which this argument names.
FORWARDED = {"EMAHook": ("ema_type", registry.MODELS)}
HOOK_NAMES = {"runtime_info", "timer", "sampler_seed", "logger", "param_scheduler", "checkpoint"}
PARAMWISE = {"base_lr", "base_wd", "custom_keys", "bias_lr_mult", "bias_decay_mult", "norm_decay_mult"} | {
    *("flat_decay_mult", "dwconv_decay_mult", "dcn_offset_lr_mult", "bypass_duplicate"),
}
DATALOADER = {"dataset", "sampler", "batch_sampler", "collate_fn", "worker_init_fn", "num_batch_per_epoch"}


def _parameters(function: Callable) -> tuple[set[str], bool]:
    """Names of the keyword arguments, and whether any other is taken too."""
    parameters = list(inspect.signature(function).parameters.values())
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return named - {"self"}, any(p.kind is p.VAR_KEYWORD for p in parameters)


def accepted_keys(target: Callable) -> set[str] | None:
    """Keyword arguments that ``target`` (a class or a function) takes; None where it takes any.

    ``**kwargs`` of a class is followed to its parents' constructors.
    """
    if not inspect.isclass(target):
        named, is_open = _parameters(target)
        return None if is_open else named
    keys: set[str] = set()
    for parent in target.__mro__[:-1]:
        if "__init__" in vars(parent):
            named, is_open = _parameters(parent.__init__)
            keys |= named
            if not is_open:
                return keys
    return None if keys else set()


# Dictionaries without a type, by their key; None takes any key. "grid" is what BEVGrid takes.
PLAIN_DICTS: dict[str, set[str] | None] = {
    **dict.fromkeys(("train_dataloader", "val_dataloader", "test_dataloader"), accepted_keys(DataLoader) | DATALOADER),
    "train_cfg": {"by_epoch", "max_epochs", "max_iters", "val_begin", "val_interval", "dynamic_intervals"},
    "val_cfg": accepted_keys(ValLoop),
    "test_cfg": accepted_keys(TestLoop),
    "optim_wrapper": accepted_keys(OptimWrapper) | CONSUMED["optim_wrapper"],
    "env_cfg": {"cudnn_benchmark", "mp_cfg", "dist_cfg", "resource_limit"},
    "randomness": {"seed", "diff_rank_seed", "deterministic"},
    "log_processor": accepted_keys(LogProcessor),
    "paramwise_cfg": PARAMWISE,
    "grid": {"pc_range", "cell_m"},
}


def check_config(config: Mapping) -> None:
    """Compare every key and type in ``config`` with the code that will read it.

    Raises:
        ConfigError: names the place, the wrong key or type, and the nearest right one.
    """
    ensure_openmmlab(config)
    known = (accepted_keys(Runner) - {"cfg"}) | {
        "find_unused_parameters",
        "sync_bn",
        "model_wrapper_cfg",
        "runner_type",
    }
    for key in config:
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.8)
        if key not in known and near:  # other names are the config's own variables
            raise ConfigError(f"{key!r} is no section of a config; did you mean {near[0]!r}?")
    for name in config.get("default_hooks", {}):
        near = difflib.get_close_matches(name, HOOK_NAMES, n=1, cutoff=0.8)
        if name not in HOOK_NAMES and near:
            raise ConfigError(f"default_hooks.{name}: no hook of MMEngine has this name; did you mean {near[0]!r}?")
    for section, registries in SECTIONS.items():
        _check(config.get(section), section, registries, None)
    for name in ("env_cfg", "randomness", "grid"):
        _check_plain(config.get(name), name)


def _check(value: object, place: str, registries: tuple[Registry, ...], scope: str | None) -> None:
    """Check one value and what is inside it; types without a scope are looked up in their parent's."""
    if isinstance(value, list | tuple):
        for i, item in enumerate(value):
            _check(item, f"{place}[{i}]", registries, scope)
    if not isinstance(value, Mapping):
        return
    if "type" in value:
        target, scope = _resolve(value["type"], place, registries, scope)
        allowed = accepted_keys(target)
        if target.__name__ in FORWARDED:
            allowed = _parameters(target)[0] | accepted_keys(_forwarded(target, value, place))
        if allowed is not None:
            extra = CONSUMED.get(place.split(".")[0].split("[")[0], set())
            if "requires_grad" in extra and not _is_norm(target):
                extra = extra - {"requires_grad"}
            _refuse_unknown(value.keys() - {"type", "_scope_"}, allowed, extra, place, target.__name__)
    else:
        _check_plain(value, place)
    for key, item in value.items():
        _check(item, f"{place}.{key}", registries, scope)


def _check_plain(value: object, place: str) -> None:
    allowed = PLAIN_DICTS.get(place.split(".")[-1])
    if isinstance(value, Mapping) and allowed is not None:
        _refuse_unknown(value.keys(), allowed, set(), place, place.split(".")[-1])


def _forwarded(target: Callable, value: Mapping, place: str) -> Callable:
    """The type that gets what ``target`` does not know."""
    argument, found = FORWARDED[target.__name__]
    default = inspect.signature(target).parameters[argument].default
    return _resolve(value.get(argument, default), f"{place}.{argument}", (found,), None)[0]


def _is_norm(target: Callable) -> bool:
    return inspect.isclass(target) and issubclass(target, nn.modules.batchnorm._NormBase | nn.GroupNorm | nn.LayerNorm)


def _resolve(
    kind: object, place: str, registries: tuple[Registry, ...], scope: str | None
) -> tuple[Callable, str | None]:
    """The class or function that ``kind`` names, and the scope that its children are looked up in."""
    if not isinstance(kind, str):
        return kind, scope
    if "." in kind:
        scope = kind.split(".")[0]
    name = kind if "." in kind or scope is None else f"{scope}.{kind}"
    for candidate in dict.fromkeys((name, kind)):
        for found in registries:
            if (target := _get(found, candidate)) is not None:
                return target, scope
    names = {name for found in registries for level in (found, found.parent) if level for name in level.module_dict}
    raise ConfigError(f"{place}: there is no type {kind!r}{_nearest(kind, names)}")


def _get(found: Registry, name: str) -> Callable | None:
    own = found.children.get("mapstack", found)
    try:
        return own.get(name)
    except RuntimeError:  # MMEngine's answer to a dotted name that is nowhere
        return None


def _refuse_unknown(keys: Iterable[str], allowed: set[str], consumed: set[str], place: str, owner: str) -> None:
    unknown = sorted(set(keys) - allowed - consumed)
    if unknown:
        hint = _nearest(unknown[0], allowed) or f"; it takes {', '.join(sorted(allowed))}"
        raise ConfigError(f"{place}.{unknown[0]}: {owner} has no argument {unknown[0]!r}{hint}")


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""
