"""Half-precision and 8-bit forms of an exported model; the layers that suffer most stay in float, by measurement."""

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16
from scipy.optimize import linear_sum_assignment

from mapstack.errors import ExportError

from .calibration import Inputs, measure_ranges
from .runtime import MapRuntime

__all__ = ["MAX_DAMAGE", "TARGETS", "Damage", "group_nodes", "measure_damage", "quantize_int8", "to_float16"]

QUANTIZED_TYPES = ("Conv", "MatMul", "Gemm")
TARGETS = ("cpu", "vnni", "tensorrt")
MAX_DAMAGE = 0.4
GROUP_DEPTH = 3  # parts of a module's path that make a group: encoders.camera.backbone
PARAMETER = re.compile(r"model\.([\w.]+)\.\w*(?:weight|bias)")  # how the exporter names parameters; fusing keeps it


class _Frames(CalibrationDataReader):
    def __init__(self, frames: Sequence[Inputs]) -> None:
        self._iterator = iter(frames)

    def get_next(self) -> Inputs | None:
        return next(self._iterator, None)


@dataclass(frozen=True)
class Damage:
    """How far an answer is from the float model's, over the elements that the float model is sure of.

    Args:
        score: mean absolute difference of scores.
        point_m: mean absolute difference of coordinates in metres, weighted by the float model's score.
    """

    score: float
    point_m: float

    @property
    def total(self) -> float:
        """One number to sort by: a tenth of a score and a decimetre weigh alike."""
        return self.score + self.point_m


def measure_damage(reference: Sequence[Inputs], path: Path, frames: Sequence[Inputs]) -> Damage:
    """Compare the model at ``path`` with the float model's answers to the same frames.

    Queries are paired first: which of them shows an element may change when candidates score nearly the same.
    """
    runtime = MapRuntime(path)
    scores, points = [], []
    for expected, frame in zip(reference, frames, strict=True):
        answer = runtime.run(frame)
        for sides in zip(*(side[name] for side in (expected, answer) for name in ("scores", "polylines")), strict=True):
            score, point_m = _frame_damage(*sides)
            scores.append(score)
            points.append(point_m)
    return Damage(float(np.mean(scores)), float(np.mean(points)))


def _frame_damage(scores: NDArray, points: NDArray, other: NDArray, other_points: NDArray) -> tuple[float, float]:
    """Mean differences of scores and of coordinates in metres, (Q, K) and (Q, P, 2) each."""
    score_gaps = np.abs(scores[:, None] - other[None]).mean(2)  # (Q, Q)
    point_gaps = np.abs(points[:, None] - other_points[None]).mean((2, 3))
    weight = scores.max(1)[:, None]  # where an element that nobody believes in lies does not matter
    rows, cols = linear_sum_assignment(score_gaps + weight * point_gaps)
    moved = (weight * point_gaps)[rows, cols].sum() / max(float(weight.sum()), 1e-6)
    return float(score_gaps[rows, cols].mean()), float(moved)


def group_nodes(model: onnx.ModelProto, depth: int = GROUP_DEPTH) -> dict[str, list[str]]:
    """Names of the nodes that can be quantised, by the first ``depth`` parts of their module's path."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    groups: dict[str, list[str]] = {}
    for node in model.graph.node:
        if node.op_type in QUANTIZED_TYPES:
            # A weight that was transposed has lost its name, but not the bias that is added next.
            following = (name for reader in readers.get(node.output[0], []) for name in reader.input)
            found = (PARAMETER.search(name) for name in (*node.input, *following))
            path = next((match[1] for match in found if match), node.name)
            groups.setdefault(".".join(path.split(".")[:depth]), []).append(node.name)
    return groups


def to_float16(path: Path, out: Path) -> None:
    """Write the model in half precision; inputs and outputs stay float32.

    Cells and sums that need the range (float64 block totals, gather indices) are left as they are by the converter.
    """
    model = onnx.load(path)
    properties = {item.key: item.value for item in model.metadata_props}
    half = convert_float_to_float16(model, keep_io_types=True, disable_shape_infer=False)
    _save(half, properties, out)


def quantize_int8(
    path: Path,
    out: Path,
    frames: Sequence[Inputs],
    *,
    target: str = "cpu",
    max_damage: float = MAX_DAMAGE,
    depth: int = GROUP_DEPTH,
    report: Callable[[str], None] = lambda _: None,
) -> tuple[str, ...]:
    """Write an 8-bit model, quantised statically, whose damage on the calibration frames stays below a limit.

    What a layer reads is in 8 bits, in a range of least error (:mod:`mapstack.export.calibration`); what it writes is
    not rounded before activations and residual sums have read it, and an answer not at all. Where the damage of all
    groups of layers together is too large, each is quantised alone, and the worst are given back to float until it is
    small enough.

    Args:
        path: the float model.
        out: the file.
        frames: prepared inputs, tables included: what the ranges are read from.
        target: "cpu" (unsigned activations, and 7-bit weights, with which no processor saturates), "vnni" (8-bit
            weights, for processors with an 8-bit dot product, and for OpenVINO) or "tensorrt" (signed, symmetric).
        max_damage: see :attr:`Damage.total`.
        depth: parts of a module's path that make a group.
        report: is told a line for each step.

    Returns:
        The groups that stayed in float, the worst last.

    Raises:
        ExportError: nothing could be quantised within the limit.
    """
    if target not in TARGETS:
        raise ExportError(f"target must be one of {TARGETS}, got {target!r}")
    properties = {item.key: item.value for item in onnx.load(path).metadata_props}
    names = MapRuntime(path).input_names
    frames = [{name: frame[name] for name in names} for frame in frames]
    reference = [MapRuntime(path).run(frame) for frame in frames]
    with tempfile.TemporaryDirectory() as folder:
        prepared, trial = Path(folder) / "prepared.onnx", Path(folder) / "trial.onnx"
        quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        model = onnx.load(prepared)
        groups = group_nodes(model, depth)
        ranges = measure_ranges(model, _activations(model), frames, symmetric=target == "tensorrt")

        def damage(chosen: Sequence[str]) -> float:
            nodes = [node for group in chosen for node in groups[group]]
            _quantize(prepared, trial, frames[0], nodes, target, ranges)
            _save(onnx.load(trial), properties, trial)
            return measure_damage(reference, trial, frames).total

        kept, left = list(groups), []
        while kept:
            total = damage(kept)
            report(f"{len(kept)} of {len(groups)} groups in 8 bits: damage {total:.5f}")
            if total <= max_damage:
                _save(onnx.load(trial), properties, out)
                return tuple(reversed(left))
            if not left:
                alone = {}
                for group in groups:
                    alone[group] = damage([group])
                    report(f"{group}: {len(groups[group])} layers, damage {alone[group]:.5f}")
                kept = sorted(groups, key=alone.get)
            left.append(kept.pop())
    raise ExportError(f"{path}: no layer can be quantised at a damage of at most {max_damage}; raise the limit")


def _activations(model: onnx.ModelProto) -> list[str]:
    """Names of the tensors that quantised nodes read, their weights and biases left out."""
    constants = {item.name for item in model.graph.initializer}
    constants |= {name for node in model.graph.node if node.op_type == "Constant" for name in node.output}
    nodes = (node for node in model.graph.node if node.op_type in QUANTIZED_TYPES)
    return sorted({name for node in nodes for name in node.input[:2] if name not in constants})


def _quantize(
    source: Path, out: Path, frame: Inputs, nodes: Sequence[str], target: str, ranges: Mapping[str, tuple[float, float]]
) -> None:
    """Quantise some nodes; of the frame only the shapes count, since every range is given."""
    symmetric = target == "tensorrt"
    overrides = {name: [{"rmin": np.float32(low), "rmax": np.float32(high)}] for name, (low, high) in ranges.items()}
    quantize_static(
        str(source),
        str(out),
        _Frames([frame]),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(QUANTIZED_TYPES),
        nodes_to_quantize=list(nodes),
        per_channel=True,
        # Without VNNI a processor adds two products of 8 bits in 16, which saturates: 7-bit weights cannot.
        reduce_range=target == "cpu",
        activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        extra_options={
            "ActivationSymmetric": symmetric,
            "WeightSymmetric": True,
            "OpTypesToExcludeOutputQuantization": list(QUANTIZED_TYPES),
            "TensorQuantOverrides": overrides,
        },
    )


def _save(model: onnx.ModelProto, properties: Mapping[str, str], out: Path) -> None:
    del model.metadata_props[:]
    for key, value in properties.items():
        model.metadata_props.add(key=key, value=value)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.partial")
    onnx.save(model, partial)
    partial.replace(out)
