"""The reliability diagram of predicted point uncertainty."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

__all__ = ["draw_reliability", "write_reliability"]


def draw_reliability(curves: Mapping[str, Mapping[str, NDArray | float]]) -> Figure:
    """Coverage over probability, and error over scale; on the dashed line a prediction is calibrated.

    Args:
        curves: by name, each with ``levels``, ``coverage``, ``bin_scales_m``, ``bin_errors_m`` and
            ``expected_calibration_error`` as :class:`mapstack.evaluation.reliability.Reliability` has them.
    """
    figure = Figure(figsize=(8.4, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    largest = 0.0
    for name, curve in curves.items():
        label = f"{name}: calibration error {curve['expected_calibration_error']:.3f}"
        left.plot(curve["levels"], curve["coverage"], "o-", markersize=3, linewidth=1.4, label=label)
        right.plot(curve["bin_scales_m"], curve["bin_errors_m"], "o-", markersize=3, linewidth=1.4, label=name)
        largest = max(largest, float(max(curve["bin_scales_m"])), float(max(curve["bin_errors_m"])))
    left.plot([0, 1], [0, 1], "k--", linewidth=0.8)
    right.plot([0, largest], [0, largest], "k--", linewidth=0.8)
    left.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability of the interval", ylabel="share of coordinates inside")
    right.set(xlim=(0, None), ylim=(0, None), xlabel="predicted scale, m", ylabel="mean absolute error, m")
    for axes in (left, right):
        axes.grid(linewidth=0.4, alpha=0.6)
        axes.legend(fontsize=7, loc="upper left")
    return figure


def write_reliability(curves: Mapping[str, Mapping[str, NDArray | float]], path: Path) -> None:
    """Draw into a PNG file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(draw_reliability(curves)).print_png(str(path))
