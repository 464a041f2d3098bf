"""Which module an export stumbled over, so that the error can name it."""

from collections.abc import Iterator, Sequence
from types import FrameType, TracebackType

import torch
from torch import nn
from torch.fx.experimental.symbolic_shapes import statically_known_true

__all__ = ["AxisWatch", "module_at_fault"]


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, outermost first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _frames(error: BaseException) -> Iterator[FrameType]:
    for cause in _causes(error):
        trace = cause.__traceback__
        while trace is not None:
            yield trace.tb_frame
            trace = trace.tb_next


def module_at_fault(error: BaseException, model: nn.Module) -> str | None:
    """Name of the innermost module of ``model`` that was running, or being translated, when ``error`` rose.

    While the graph is captured, modules run as Python, so their frames stand in the traceback. While it is translated,
    the frame holds the graph's node, which remembers the modules it came from.

    Returns:
        A name as in ``named_modules`` with its class, or None where the traceback tells of no module.
    """
    names = {id(module): (name, type(module).__name__) for name, module in model.named_modules() if name}
    found: tuple[str, str] | None = None
    for frame in _frames(error):
        found = names.get(id(frame.f_locals.get("self")), found)
        for value in list(frame.f_locals.values()):
            if isinstance(value, torch.fx.Node) and value.meta.get("nn_module_stack"):
                path, kind = list(value.meta["nn_module_stack"].values())[-1]
                found = (str(path), kind if isinstance(kind, str) else kind.__name__)
    if found is None:
        return None
    return f"{found[0].removeprefix('model.')} ({found[1].rsplit('.', 1)[-1]})".lstrip()


class AxisWatch:
    """Notices after which module an axis that should stay free has become a constant, while a graph is captured.

    PyTorch's exporter then quietly writes a graph for that one size. Used as a context around the capture.

    Args:
        wrapper: the module that is captured.
        examples: its inputs, by position; the first axis of each should stay free.

    Attributes:
        culprit: name and class of the innermost module after which the first axis was found frozen, else None.
    """

    def __init__(self, wrapper: nn.Module, examples: Sequence[torch.Tensor]) -> None:
        self.culprit: str | None = None
        self._examples = [tensor.shape[0] for tensor in examples]
        self._wrapper = wrapper
        self._sizes: list[int | torch.SymInt] = []
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> "AxisWatch":
        self._hooks = [self._wrapper.register_forward_pre_hook(self._begin)]
        for name, module in self._wrapper.named_modules():
            label = f"{name.removeprefix('model.')} ({type(module).__name__})".lstrip()
            self._hooks.append(module.register_forward_hook(lambda *_, label=label: self._look(label)))
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for hook in self._hooks:
            hook.remove()

    def _begin(self, _: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        self._sizes = [tensor.shape[0] for tensor in args]

    def _look(self, label: str) -> None:
        pairs = zip(self._sizes, self._examples, strict=True)
        if self.culprit is None and any(statically_known_true(size == example) for size, example in pairs):
            self.culprit = label
