"""Take down and put back every random generator of this process, so that a resumed run draws the same numbers."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["capture", "preserved", "restore"]


def capture() -> dict:
    """State of Python's, NumPy's and PyTorch's generators (CPU and every CUDA device), in plain types and tensors.

    NumPy's array becomes a tensor, so that the state can be loaded with ``weights_only=True``.
    """
    name, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002 - the global generator is the point
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore(state: dict) -> None:
    """Put back what :func:`capture` returned; CUDA states of devices that are not here are left out."""
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal), gauss_next))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"].cpu())
    for device, cuda_state in enumerate(state["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(cuda_state.cpu(), device)


@contextmanager
def preserved() -> Iterator[None]:
    """Run a block, validation for instance, without a trace in the random numbers that follow it."""
    state = capture()
    try:
        yield
    finally:
        restore(state)
