"""Write a model as ONNX through torch.export, and prove that ONNX Runtime computes the same."""

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import onnx
import torch
from torch import Tensor, nn

from mapstack.errors import ExportError

from .blame import AxisWatch, module_at_fault
from .metadata import METADATA_KEY, ModelMetadata
from .tables import TABLE_AXES

__all__ = ["OUTPUT_NAMES", "ExportWrapper", "Exportable", "export_onnx", "output_names"]

OUTPUT_NAMES = ("scores", "polylines")  # "points" is the LiDAR input's name
NEXT_STATE = "next_"
OPSET = 18
# Dynamic axes of inputs that have others than the batch in front.
PRIOR_AXES = {0: "batch", 1: "num_priors"}
DYNAMIC_AXES: dict[str, dict[int, str]] = {
    "points": {0: "num_points"},
    **{f"prior_{name}": PRIOR_AXES for name in ("points", "labels", "sources", "confidence", "tags", "valid")},
    **TABLE_AXES,
}


class Exportable(Protocol):
    """A model that names the tensors it wants; :class:`mapstack.models.Mapper` is one."""

    def export_inputs(self, inputs: dict[str, Tensor]) -> Mapping[str, Tensor]:
        """The tensors of one preprocessed batch that ``forward_export`` takes, in its order."""

    def forward_export(self, **tensors: Tensor) -> tuple[Tensor, ...]:
        """Scores (B, Q, K) and points (B, Q, P, 2) ego metres; then what :func:`output_names` names."""


def output_names(model: nn.Module) -> list[str]:
    """Names of a model's outputs: the two that all have, its ``export_extra_names``, and its state for the next frame.

    The state ``NAME`` (``export_state_names``) goes in as ``state_NAME``, with ``state_valid`` (B,) and
    ``previous_from_current`` (B, 4, 4), and comes out as ``next_NAME``.
    """
    state = [NEXT_STATE + name for name in getattr(model, "export_state_names", ())]
    return [*OUTPUT_NAMES, *getattr(model, "export_extra_names", ()), *state]


class ExportWrapper(nn.Module):
    """The model with its inputs by position, in the order of ``names``: what the exporter traces.

    Args:
        model: an :class:`Exportable` module.
        names: of its inputs.
    """

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.names = tuple(names)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """What the wrapped model returns for export."""
        return self.model.forward_export(**dict(zip(self.names, tensors, strict=True)))


def export_onnx(model: nn.Module, inputs: Mapping[str, Tensor], path: Path, metadata: ModelMetadata) -> None:
    """Write ``path``, one file with weights and metadata, dynamic in batch, LiDAR points and prior vectors.

    The simplified graph is checked by ONNX's own checker. Whether it computes the same is the business of
    :func:`mapstack.export.parity.check_parity`.

    Args:
        model: an :class:`Exportable` module in eval mode; its parameters may be on any device.
        inputs: what its ``export_inputs`` returned for a batch of at least 2: sizes of 1 would be taken for constants.
        path: the file, replaced whole or not at all.
        metadata: stored inside it.

    Raises:
        ExportError: names the module that cannot be exported, and why.
    """
    if model.training:
        raise ExportError("the model is in training mode; call eval() before the export")
    small = [name for name, tensor in inputs.items() if tensor.shape[0] < 2]
    if small:
        raise ExportError(f"example inputs {small} have a first axis below 2, which would be frozen; use a batch of 2")
    program = _trace(model, inputs)
    proto = program.model_proto
    proto.metadata_props.add(key=METADATA_KEY, value=metadata.to_json())
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the exported graph is not valid ONNX: {error}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        onnx.save(proto, partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _trace(model: nn.Module, inputs: Mapping[str, Tensor]) -> torch.onnx.ONNXProgram:
    axes = {name: DYNAMIC_AXES.get(name, {0: "batch"}) for name in inputs}
    dims = {label: torch.export.Dim(label, min=1) for own in axes.values() for label in own.values()}
    shapes = tuple({axis: dims[label] for axis, label in own.items()} for own in axes.values())
    wrapper = ExportWrapper(model, list(inputs)).eval()
    try:
        with torch.no_grad(), AxisWatch(wrapper, list(inputs.values())) as watch, warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="# The axis name")  # inputs share an axis on purpose
            program = torch.onnx.export(
                wrapper,
                tuple(inputs.values()),
                input_names=list(inputs),
                output_names=output_names(model),
                opset_version=OPSET,
                dynamic_shapes=(shapes,),
                dynamo=True,
                external_data=False,
                optimize=True,
                verbose=False,
            )
    except (torch.onnx.OnnxExporterError, RuntimeError, TypeError) as error:
        module = module_at_fault(error, model) or type(model).__name__
        raise ExportError(f"{module} cannot be exported to ONNX: {_first_lines(error.__cause__ or error)}") from error
    for node in program.model.graph.inputs:
        for axis in axes.get(node.name, {0: "batch"}):
            if isinstance(node.shape[axis], int):
                raise ExportError(
                    f"{watch.culprit or type(model).__name__} makes axis {axis} of {node.name} a constant "
                    f"({node.shape[axis]}); take sizes as tensor.shape[{axis}], not as len(tensor) or int(...)"
                )
    return program


def _first_lines(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: " + " ".join(lines[:3])
