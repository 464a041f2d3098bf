"""Choose an implementation of an op; nothing is imported or compiled until it is asked for."""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import torch

from ..errors import BackendUnavailable

__all__ = ["ORDER", "Backends", "available_backends", "obstacle", "pick"]

ORDER = ("torch", "reference")
"""What "auto" tries, best first."""


class Backends(tuple):
    """Names of the backends that can run, best first; ``obstacles`` says why each other one cannot."""

    obstacles: dict[str, str]

    def __new__(cls, names: tuple[str, ...], obstacles: dict[str, str]) -> "Backends":
        """Keep the names as the tuple and the reasons beside them."""
        self = super().__new__(cls, names)
        self.obstacles = obstacles
        return self

    def __repr__(self) -> str:
        reasons = "".join(f"; no {name}: {reason}" for name, reason in self.obstacles.items())
        return f"Backends({', '.join(self)}{reasons})"


def obstacle(op: str, backend: str, device: torch.device) -> str | None:
    """Say why ``backend`` cannot run ``op`` on ``device``, or None if it can."""
    if find_spec(f"mapstack.ops.{op}.{backend}") is None:
        return f"{op} has no {backend} backend"
    return None


def available_backends(op: str, device: torch.device | str = "cpu") -> Backends:
    """List the backends of ``op`` that can run on ``device``.

    Args:
        op: "bev_pool", "voxelize" or "deform_attn".
        device: where the tensors lie.

    Returns:
        A tuple of names, best first; its ``obstacles`` maps every other backend to the reason.
    """
    reasons = {name: obstacle(op, name, torch.device(device)) for name in ORDER}
    return Backends(
        tuple(name for name, reason in reasons.items() if reason is None),
        {name: reason for name, reason in reasons.items() if reason is not None},
    )


def pick(op: str, backend: str, device: torch.device, function: str) -> Callable[..., torch.Tensor]:
    """Return the implementation, or raise with the reason; never fall back from a named backend."""
    name = backend
    if backend == "auto":
        # ONNX knows no custom op, and the reference is the form that it runs
        name = "reference" if torch.onnx.is_in_onnx_export() else available_backends(op, device)[0]
    elif backend not in ORDER:
        raise ValueError(f"unknown backend {backend!r} for {op}; choose auto or one of {ORDER}")
    elif reason := obstacle(op, backend, device):
        raise BackendUnavailable(f"{op}: backend {backend!r} cannot run on {device}: {reason}")
    return getattr(import_module(f"mapstack.ops.{op}.{name}"), function)
