"""Mixed precision on any device, and parameter groups by rule."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIMIZERS
from torch import nn

from mapstack.errors import ConfigError
from mapstack.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS

__all__ = ["AutocastOptimWrapper", "GroupedOptimConstructor"]


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Forward passes in bfloat16, on the CPU too, where MMEngine's ``AmpOptimWrapper`` refuses to work.

    bfloat16 has float32's range, so losses are not scaled. For float16 take ``AmpOptimWrapper``.

    Args:
        kwargs: as ``OptimWrapper`` has them.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The context of one forward pass."""
        with super().optim_context(model), torch.autocast(get_device().split(":")[0], dtype=torch.bfloat16):
            yield


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GroupedOptimConstructor:
    """As few parameter groups as the rules make; MMEngine's constructor makes, steps and logs one per parameter.

    ``paramwise_cfg`` takes ``custom_keys`` (``{part of a parameter's name: dict(lr_mult=, decay_mult=)}``, the longest
    match counts), ``norm_decay_mult`` and ``bias_decay_mult``.

    Args:
        optim_wrapper_cfg: the wrapper's config with its ``optimizer``.
        paramwise_cfg: the rules; None puts every parameter into one group.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        self.wrapper = dict(optim_wrapper_cfg)
        self.optimizer = dict(self.wrapper.pop("optimizer"))
        rules = dict(paramwise_cfg or {})
        self.custom_keys: dict[str, dict] = rules.pop("custom_keys", {})
        self.norm_decay_mult: float = rules.pop("norm_decay_mult", 1.0)
        self.bias_decay_mult: float = rules.pop("bias_decay_mult", 1.0)
        if rules:
            raise ConfigError(f"GroupedOptimConstructor knows no paramwise_cfg rule {min(rules)!r}")

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer over the parameters of ``model`` that need gradients.

        Raises:
            ConfigError: a key of ``custom_keys`` is in no parameter's name.
        """
        model = getattr(model, "module", model)
        norms = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
        in_norm = {id(p) for module in model.modules() if isinstance(module, norms) for p in module.parameters()}
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        unused = set(self.custom_keys)
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            key = max((key for key in self.custom_keys if key in name), key=len, default=None)
            unused.discard(key)
            groups.setdefault(self._multipliers(name, key, id(parameter) in in_norm), []).append(parameter)
        if unused:
            raise ConfigError(f"paramwise_cfg.custom_keys: no parameter's name has {min(unused)!r} in it")
        params = [self._group(*multipliers, parameters) for multipliers, parameters in groups.items()]
        optimizer = OPTIMIZERS.build({**self.optimizer, "params": params})
        return OPTIM_WRAPPERS.build({"type": "OptimWrapper", **self.wrapper}, default_args={"optimizer": optimizer})

    def _multipliers(self, name: str, key: str | None, is_norm: bool) -> tuple[float, float]:
        """(of the learning rate, of the weight decay) for one parameter."""
        if key is not None:
            return self.custom_keys[key].get("lr_mult", 1.0), self.custom_keys[key].get("decay_mult", 1.0)
        if is_norm:
            return 1.0, self.norm_decay_mult
        return 1.0, self.bias_decay_mult if name.endswith(".bias") else 1.0

    def _group(self, lr_mult: float, decay_mult: float, parameters: list[nn.Parameter]) -> dict:
        group = {"params": parameters, "lr": self.optimizer["lr"] * lr_mult}
        if "weight_decay" in self.optimizer:
            group["weight_decay"] = self.optimizer["weight_decay"] * decay_mult
        return group
