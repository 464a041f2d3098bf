"""Choose an implementation of an op; nothing is compiled until it is asked for."""

import os
import sys
import warnings
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import torch

from ..errors import BackendUnavailable
from . import _build

__all__ = ["ORDER", "Backends", "available_backends", "cuda_recipe", "obstacle", "pick"]

ORDER = ("cuda", "triton", "cpu", "torch", "reference")
"""What "auto" tries, best first; it takes none whose device is not the tensors'."""

OPS = {"bev_pool": ORDER, "voxelize": ("cpu", "reference"), "deform_attn": ("reference",)}

_modules: dict[str, ModuleType] = {}  # a plain dict: torch.compile can read it, and not import a module
_warned: set[str] = set()


class Backends(tuple[str, ...]):
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


@cache
def cuda_recipe(device: torch.device) -> _build.Recipe:
    """The CUDA library for this GPU: the one for every architecture if it was built ahead, else for this one.

    Found once a process: looking reads the sources and the compiler's version, which costs more than the kernels run.
    """
    full = _build.recipe("cuda")
    major, minor = torch.cuda.get_device_capability(device)
    return full if _build.find(full) else _build.recipe("cuda", (f"{major}{minor}",))


def obstacle(op: str, backend: str, device: torch.device) -> str | None:
    """Say why ``backend`` cannot run ``op`` on ``device``, or None if it can; compiles nothing."""
    if backend not in OPS[op]:
        return f"{op} has no {backend} backend"
    if backend == "cpu":
        return f"the tensors are on {device}" if device.type != "cpu" else _build.obstacle(_build.recipe("cpu"))
    if backend == "cuda":
        if not torch.cuda.is_available():
            return "PyTorch sees no CUDA device (torch.cuda.is_available() is False)"
        return f"the tensors are on {device}" if device.type != "cuda" else _build.obstacle(cuda_recipe(device))
    if backend == "triton":
        return _triton_obstacle(device)
    return None


@cache
def _has_triton() -> bool:
    return find_spec("triton") is not None


def _triton_obstacle(device: torch.device) -> str | None:
    if not _has_triton():
        return "triton is not installed (pip install triton)"
    if device.type == "cuda":
        return None
    early = sys.modules.get("triton.language")
    if os.environ.get("TRITON_INTERPRET") != "1" or (early and type(early.sum).__name__ != "InterpretedFunction"):
        return f"the tensors are on {device}; start Python with TRITON_INTERPRET=1 to try it on a CPU"
    return None


def available_backends(op: str, device: torch.device | str = "cpu") -> Backends:
    """List the backends of ``op`` that can run on ``device``.

    Args:
        op: "bev_pool", "voxelize" or "deform_attn".
        device: where the tensors lie.

    Returns:
        A tuple of names, best first; its ``obstacles`` maps every other backend to the reason.
    """
    if op not in OPS:
        raise ValueError(f"unknown op {op!r}; choose one of {tuple(OPS)}")
    reasons = {name: obstacle(op, name, torch.device(device)) for name in OPS[op]}
    return Backends(
        tuple(name for name, reason in reasons.items() if reason is None),
        {name: reason for name, reason in reasons.items() if reason is not None},
    )


def _prepare(backend: str, device: torch.device) -> None:
    """Build and open what the backend needs, or raise BackendUnavailable."""
    if backend == "cpu":
        _build.load(_build.recipe("cpu"))
    elif backend == "cuda":
        _build.load(cuda_recipe(device))


def _best(op: str, device: torch.device) -> str:
    """The first backend that is ready; one warning for each that ought to be and is not."""
    for name in OPS[op]:
        if name == "triton" and device.type != "cuda":
            continue  # the interpreter is for tests: nobody wants it unasked
        if reason := obstacle(op, name, device):
            if name != device.type:
                continue
        else:
            try:
                _prepare(name, device)
                return name
            except BackendUnavailable as error:
                reason = str(error)
        if name not in _warned:
            _warned.add(name)
            warnings.warn(f"{op}: the {name} backend cannot run, a slower one takes its place: {reason}", stacklevel=4)
    raise BackendUnavailable(f"{op}: no backend runs on {device}")  # the reference always does


def _resolve(op: str, backend: str, device: torch.device) -> str:
    name = _choose(op, backend, device)
    module = f"mapstack.ops.{op}.{name}"
    if module not in _modules:
        _modules[module] = import_module(module)
    return name


# What torch.compiler.assume_constant_result does: evaluated while tracing, never traced into. The decorator itself
# would import the whole compiler, 1.5 s, for people who never compile.
_resolve._dynamo_marked_constant = True


def _choose(op: str, backend: str, device: torch.device) -> str:
    if backend == "auto":
        # ONNX knows no custom op; the reference is the form that its runtime can run
        return "reference" if torch.onnx.is_in_onnx_export() else _best(op, device)
    if backend not in ORDER:
        raise ValueError(f"unknown backend {backend!r} for {op}; choose auto or one of {OPS[op]}")
    if reason := obstacle(op, backend, device):
        raise BackendUnavailable(f"{op}: backend {backend!r} cannot run on {device}: {reason}")
    _prepare(backend, device)
    return backend


def pick(op: str, backend: str, device: torch.device) -> ModuleType:
    """Return the module that implements ``op``; never fall back from a named backend.

    Raises:
        BackendUnavailable: ``backend`` was named and cannot run on ``device``.
    """
    return _modules[f"mapstack.ops.{op}.{_resolve(op, backend, device)}"]
