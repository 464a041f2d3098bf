"""ONNX Runtime sessions: execution providers by short name, with the options that matter."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import onnxruntime

from mapstack.errors import DataError

__all__ = ["PROVIDERS", "Exported", "open_session"]

OPENVINO = "OpenVINOExecutionProvider"
# Short names; docs/DEPLOY.md lists each one's options. Any other name that ONNX Runtime knows is taken as it is.
PROVIDERS: dict[str, tuple[str, Mapping[str, object]]] = {
    "cpu": ("CPUExecutionProvider", {}),
    "cuda": ("CUDAExecutionProvider", {}),
    "tensorrt": ("TensorrtExecutionProvider", {}),
    "openvino": (OPENVINO, {}),
    "openvino-bf16": (OPENVINO, {"load_config": json.dumps({"CPU": {"INFERENCE_PRECISION_HINT": "bf16"}})}),
}
Provider = str | tuple[str, Mapping[str, object]]


class Exported(NamedTuple):
    """A file that ``tools/export_onnx.py`` or ``tools/quantize_onnx.py`` wrote, and what runs it."""

    path: Path
    provider: Provider = "cpu"

    @classmethod
    def by_name(cls, items: Sequence[str]) -> dict[str, "Exported"]:
        """Read ``NAME=PATH`` and ``NAME=PATH@PROVIDER``, as the tools take them.

        Raises:
            DataError: an item has another form, or two have one name.
        """
        files = {}
        for item in items:
            name, _, file = item.partition("=")
            path, _, provider = file.partition("@")
            if not (name and path) or name in files:
                raise DataError(f"files are given as NAME=PATH or NAME=PATH@PROVIDER, each name once; got {item!r}")
            files[name] = cls(Path(path), provider or "cpu")
        return files


def resolve_providers(providers: Sequence[Provider]) -> list[tuple[str, dict[str, str]]]:
    """Full names with their options as text.

    Raises:
        DataError: one is not part of the installed ONNX Runtime; none ever takes the place of another.
    """
    pairs = [(item, {}) if isinstance(item, str) else item for item in providers]
    known = [(*PROVIDERS.get(name.lower(), (name, {})), options) for name, options in pairs]
    named = [(name, {**preset, **options}) for name, preset, options in known]
    available = onnxruntime.get_available_providers()
    missing = [name for name, _ in named if name not in available]
    if missing or not named:
        raise DataError(
            f"execution providers {missing} are not installed; available: {', '.join(available)}. "
            f"docs/DEPLOY.md says which package brings which"
        )
    return [(name, {key: str(value) for key, value in options.items()}) for name, options in named]


def open_session(
    path: Path | str,
    providers: Sequence[Provider] = ("cpu",),
    num_threads: int = 0,
    profile: Path | None = None,
) -> onnxruntime.InferenceSession:
    """Load a model.

    Args:
        path: what ``tools/export_onnx.py`` or ``tools/quantize_onnx.py`` wrote.
        providers: in the order of preference; a name of ``PROVIDERS`` or of ONNX Runtime's, or one with its options.
        num_threads: within an operator; 0 leaves the choice to ONNX Runtime. With OpenVINO first the batch is one.
        profile: prefix of a trace that ONNX Runtime writes, None for no trace.

    Raises:
        DataError: a provider is not installed or cannot run this model, or the file is missing or no model.
    """
    chosen = resolve_providers(providers)
    if not Path(path).is_file():
        raise DataError(f"no model at {path}; write it with tools/export_onnx.py")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    # Between two frames the cores belong to others: the workers must not go on spinning for the next run.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if chosen[0][0] == OPENVINO:
        # It wants the graph as it was exported: what ONNX Runtime fuses it cannot take, and runs elsewhere. It compiles
        # for shapes, and a vehicle has one frame at a time.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_free_dimension_override_by_name("batch", 1)
        if num_threads:
            chosen[0][1].setdefault("num_of_threads", str(num_threads))
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=chosen)
    except Exception as error:  # ONNX Runtime's own error classes share no base but this
        raise DataError(f"{path} is not a model that ONNX Runtime can load: {error}") from error
    return session
