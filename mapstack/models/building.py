"""Build parts of a model from configs that leave unsaid what the model knows already."""

import inspect
from collections.abc import Mapping

from torch import nn

from mapstack.errors import ConfigError
from mapstack.registry import MODELS

__all__ = ["build_part"]


def build_part(part: Mapping, shared: Mapping) -> nn.Module:
    """Build ``part``; what it leaves unsaid and its constructor takes comes from ``shared``."""
    constructor = MODELS.get(part["type"])
    if constructor is None:
        raise ConfigError(f"no module is registered as {part['type']!r}")
    taken = inspect.signature(constructor).parameters
    return MODELS.build({name: value for name, value in shared.items() if name in taken} | dict(part))
