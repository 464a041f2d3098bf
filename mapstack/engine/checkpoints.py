"""Read checkpoints without running code from them, write them so that a killed process leaves no broken one.

Importing this module makes MMEngine use :func:`load_checkpoint_file` for every local path.
"""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler
from mmengine.runner.checkpoint import CheckpointLoader
from safetensors import SafetensorError
from torch import Tensor, nn

from mapstack.errors import DataError

__all__ = [
    "latest_checkpoint",
    "load_checkpoint_file",
    "load_weights",
    "numbered_checkpoints",
    "publish",
    "save_weights",
    "weights_of",
]


# Methods that a checkpoint refers to by name: HistoryBuffer pickles its own, a one-cycle schedule the curve it follows.
PICKLED_METHODS = {
    HistoryBuffer: ("min", "max", "mean", "current"),
    OneCycleParamScheduler: ("_annealing_cos", "_annealing_linear"),
}


def _known_method(owner: type, name: str) -> Callable:
    """The only ``getattr`` that a checkpoint may ask for: a method of :data:`PICKLED_METHODS`."""
    if name not in PICKLED_METHODS.get(owner, ()):
        raise pickle.UnpicklingError(f"it asks for attribute {name!r} of {owner!r}")
    return getattr(owner, name)


# What MMEngine puts into a checkpoint besides tensors and plain types: the logged scalars, whose values are arrays.
SAFE_GLOBALS = (
    HistoryBuffer,
    OneCycleParamScheduler,
    (_known_method, "builtins.getattr"),
    np.ndarray,
    np.dtype,
    np.dtypes.BoolDType,
    np.dtypes.Float32DType,
    np.dtypes.Float64DType,
    np.dtypes.Int32DType,
    np.dtypes.Int64DType,
    np.core.multiarray._reconstruct,
    np.core.multiarray.scalar,
)
PARTIAL_SUFFIX = ".part"


@CheckpointLoader.register_scheme(prefixes="", force=True)
def load_checkpoint_file(
    filename: str | Path, map_location: str | torch.device | Callable | None = None
) -> dict[str, object]:
    """Load a local checkpoint of MMEngine; bare weights, .pth or safetensors, come as ``{"state_dict": ...}``.

    Args:
        filename: ``.safetensors``, or anything that ``torch.load`` reads.
        map_location: as ``torch.load`` has it; safetensors follow a device only.

    Raises:
        DataError: no such file, a damaged file, or one that holds more than tensors, plain types and logged scalars.
    """
    path = Path(filename)
    if not path.is_file():
        raise DataError(f"{path}: no such checkpoint")
    try:
        if path.suffix == ".safetensors":
            device = "cpu" if map_location is None or callable(map_location) else str(map_location)
            return {"state_dict": safetensors.torch.load_file(path, device=device)}
        with torch.serialization.safe_globals(list(SAFE_GLOBALS)):
            content = torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{path} is damaged, or holds objects that only unpickling could read, which may run code ({error}); "
            f"export bare weights from it where it was made: torch.save(model.state_dict(), ...)"
        ) from error
    except (RuntimeError, EOFError, OSError, SafetensorError) as error:
        raise DataError(f"{path}: damaged checkpoint ({error}); delete it and use an earlier one") from error
    if isinstance(content, dict) and "state_dict" not in content and all(map(torch.is_tensor, content.values())):
        return {"state_dict": content}
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}, neither a checkpoint nor a state dict")
    return content


def weights_of(checkpoint: dict) -> dict[str, Tensor]:
    """The model's weights in a loaded checkpoint; the averaged ones where the run kept an average.

    MMEngine's EMA hook already stores the average under ``state_dict`` and the raw weights beside it.
    """
    if "state_dict" not in checkpoint:
        raise DataError(f"the checkpoint holds {', '.join(map(str, checkpoint)) or 'nothing'}, but no state_dict")
    return checkpoint["state_dict"]


def load_weights(model: nn.Module, filename: str | Path) -> None:
    """Load a checkpoint's weights into ``model``, every one of them.

    Raises:
        DataError: the file lacks weights of the model, has others, or has them in another shape.
    """
    weights = weights_of(load_checkpoint_file(filename, map_location="cpu"))
    expected = model.state_dict()
    wrong = [
        *(f"lacks {key}" for key in expected.keys() - weights.keys()),
        *(f"has {key}, which the model has not" for key in weights.keys() - expected.keys()),
        *(
            f"has {key} of shape {tuple(weights[key].shape)}, the model {tuple(expected[key].shape)}"
            for key in expected.keys() & weights.keys()
            if weights[key].shape != expected[key].shape
        ),
    ]
    if wrong:
        raise DataError(
            f"{filename} is not of this config's {type(model).__name__}: it {min(wrong)} "
            f"({len(wrong)} differences); use the config it was trained with"
        )
    model.load_state_dict(weights)


def save_weights(checkpoint: dict, path: Path, *, half: bool = False) -> None:
    """Write the weights of a loaded checkpoint alone, as safetensors, for sharing.

    Args:
        checkpoint: as :func:`load_checkpoint_file` returns it.
        path: replaced whole or not at all.
        half: matrices and kernels as float16. Vectors (norms, biases, running statistics) are small and stay.
    """
    weights = {key: value.contiguous().clone() for key, value in weights_of(checkpoint).items()}
    if half:
        weights = {
            key: value.half() if value.ndim > 1 and value.is_floating_point() else value
            for key, value in weights.items()
        }
    partial = path.with_name(path.name + PARTIAL_SUFFIX)
    safetensors.torch.save_file(weights, partial)
    publish(partial, path)


def publish(partial: Path, path: Path) -> None:
    """Give a completely written file its name: whoever finds ``path`` finds all of it, even after a power cut."""
    _sync(partial)
    os.replace(partial, path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def numbered_checkpoints(work_dir: str | Path) -> list[tuple[int, Path]]:
    """(iteration, path) of every ``iter_*.pth`` in ``work_dir``, the newest last."""
    stems = ((path.stem.removeprefix("iter_"), path) for path in Path(work_dir).glob("iter_*.pth"))
    return sorted((int(number), path) for number, path in stems if number.isdigit())


def latest_checkpoint(work_dir: str | Path) -> Path | None:
    """The checkpoint of the highest iteration in ``work_dir``, None where there is none.

    MMEngine's own note ``last_checkpoint`` is not asked: a kill while it is written leaves it empty.
    """
    found = numbered_checkpoints(work_dir)
    return found[-1][1] if found else None
