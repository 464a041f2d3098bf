"""Ranges for the 8-bit activations of a model, measured on frames and narrowed to where the error is least."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from mapstack.errors import ExportError

__all__ = ["least_error_range", "measure_ranges"]

NUM_BINS = 4096
FACTORS = np.linspace(0.1, 1.0, 46)
STEPS = 255  # of 8 bits

Inputs = Mapping[str, NDArray]
Range = tuple[float, float]


def measure_ranges(
    model: onnx.ModelProto, names: Sequence[str], frames: Sequence[Inputs], symmetric: bool = False
) -> dict[str, Range]:
    """Ranges of some of a model's tensors over frames, each by :func:`least_error_range`.

    Args:
        model: the float model.
        names: of tensors: inputs, or what a node computes.
        frames: the model's inputs by name.
        symmetric: True makes every range reach as far below zero as above.

    Raises:
        ExportError: a tensor has a value that is not finite.
    """
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    known = {value.name for value in (*probe.graph.input, *probe.graph.output)}
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    session = ort.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    computed = [value.name for value in session.get_outputs() if value.name in set(names)]
    given = [name for name in names if name not in computed]

    def values(frame: Inputs) -> dict[str, NDArray]:
        found = dict(zip(computed, session.run(computed, frame), strict=True))
        return found | {name: frame[name] for name in given}

    low, high = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    for frame in frames:
        for name, value in values(frame).items():
            if not np.isfinite(value).all():
                raise ExportError(f"tensor {name} has a value that is not finite on a calibration frame")
            low[name] = min(low[name], float(value.min(initial=0.0)))
            high[name] = max(high[name], float(value.max(initial=0.0)))
    counts = {name: np.zeros(NUM_BINS) for name in names}
    for frame in frames:  # once more, rather than keep all activations of all frames in memory
        for name, value in values(frame).items():
            if low[name] < high[name]:
                # What an activation has set to zero costs nothing, since every range has a step there.
                counts[name] += np.histogram(value[value != 0], NUM_BINS, (low[name], high[name]))[0]
    return {name: least_error_range(counts[name], low[name], high[name], symmetric) for name in names}


def least_error_range(counts: NDArray, low: float, high: float, symmetric: bool = False) -> Range:
    """The part of a range that 8 bits represent with the least mean squared error.

    A narrower range rounds finer and clips what lies outside (Nagel et al., A White Paper on Neural Network
    Quantization, 2021, section 3.1, "MSE"). Both ends are moved by one factor.

    Args:
        counts: (B,) histogram over equal bins from ``low`` to ``high``.
        low: least value, at most 0.
        high: greatest value, at least 0.
        symmetric: True returns a range that reaches as far below zero as above.
    """
    if low == high:
        return low, high
    centres = low + (np.arange(len(counts)) + 0.5) * (high - low) / len(counts)
    if symmetric:
        low, high = -max(-low, high), max(-low, high)

    def error(factor: float) -> float:
        below, above = factor * low, factor * high
        clipped = (centres - centres.clip(below, above)) ** 2
        rounded = ((above - below) / STEPS) ** 2 / 12  # variance of a value's place within its step
        return float(counts @ np.where(clipped > 0, clipped, rounded))

    factor = min(FACTORS[::-1], key=error)
    return float(factor * low), float(factor * high)
