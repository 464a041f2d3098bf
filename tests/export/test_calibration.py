"""Ranges of 8-bit activations: narrower where that loses less, whole where it would not."""

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from mapstack.errors import ExportError
from mapstack.export.calibration import least_error_range, measure_ranges


def loss(values: NDArray, low: float, high: float) -> float:
    """Mean squared error of values in 256 steps from low to high."""
    step = (high - low) / 255
    return float(np.mean((values - (np.round((values.clip(low, high) - low) / step) * step + low)) ** 2))


def chosen(values: NDArray, symmetric: bool = False) -> tuple[float, float]:
    low, high = min(0.0, values.min()), max(0.0, values.max())
    return least_error_range(np.histogram(values[values != 0], 4096, (low, high))[0], low, high, symmetric)


def test_an_outlier_is_clipped_and_the_error_falls() -> None:
    values = np.append(np.random.default_rng(0).normal(0, 1, 1_000_000).clip(0), 10.0)
    low, high = chosen(values)
    assert low == 0 and 4 < high < 8
    losses = {factor: loss(values, 0, 10.0 * factor) for factor in np.linspace(0.1, 1, 46)}
    assert loss(values, low, high) == pytest.approx(min(losses.values()), rel=0.02)
    assert loss(values, low, high) < 0.7 * losses[1.0]


def test_a_uniform_range_stays_whole() -> None:
    low, high = chosen(np.random.default_rng(0).uniform(-2, 6, 100_000))
    assert low == pytest.approx(-2, abs=0.06) and high == pytest.approx(6, abs=0.15)


def test_symmetric_ranges_reach_alike_and_nothing_has_no_range() -> None:
    low, high = chosen(np.random.default_rng(0).uniform(-2, 6, 10_000), symmetric=True)
    assert low == -high and high == pytest.approx(6, abs=0.15)
    assert least_error_range(np.zeros(16), 0.0, 0.0) == (0.0, 0.0)


def model() -> onnx.ModelProto:
    """y = (x + 1) * x over any length."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy")
    one = helper.make_tensor("one", TensorProto.FLOAT, [], [1.0])
    nodes = [helper.make_node("Add", ["x", "one"], ["sum"]), helper.make_node("Mul", ["sum", "x"], ["y"])]
    graph = helper.make_graph(nodes, "g", [x], [y], [one])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def test_ranges_are_of_all_frames_of_any_length_and_include_zero() -> None:
    frames = [{"x": np.linspace(0, 4, size, dtype=np.float32)} for size in (500, 700)]
    frames.append({"x": np.linspace(-3, -1, 600, dtype=np.float32)})
    ranges = measure_ranges(model(), ["x", "sum", "y"], frames)
    assert ranges["x"] == pytest.approx((-3, 4), rel=0.05)
    assert ranges["sum"] == pytest.approx((-2, 5), rel=0.05)
    assert ranges["y"][0] == 0.0 and 15 < ranges["y"][1] <= 20
    with pytest.raises(ExportError, match="tensor sum has a value that is not finite"):
        measure_ranges(model(), ["sum"], [*frames, {"x": np.array([np.nan], np.float32)}])
