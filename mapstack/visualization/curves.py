"""Precision-recall curves, a panel per class and a line per threshold."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .palette import class_color

__all__ = ["PRCurve", "curves_svg", "draw_curves"]

MAX_POINTS = 300  # of a drawn curve: a split has one point per prediction, far more than pixels
LINE_STYLES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class PRCurve:
    """Precision over recall of one class at one threshold, best score first.

    Args:
        name: class name.
        threshold: as a label, for instance "0.5 m".
        recall: (n,) in [0, 1], not decreasing; n may be 0.
        precision: (n,) in [0, 1].
        ap: the average precision that the protocol reports for it.
    """

    name: str
    threshold: str
    recall: NDArray
    precision: NDArray
    ap: float

    @classmethod
    def from_hits(cls, name: str, threshold: str, hits: NDArray, num_targets: int, ap: float) -> "PRCurve":
        """Count along (n,) bool ``hits``, best score first; without targets the curve is empty."""
        if num_targets == 0:
            return cls(name, threshold, np.zeros(0), np.zeros(0), ap)
        found = np.cumsum(hits)
        return cls(name, threshold, found / num_targets, found / np.arange(1, len(hits) + 1), ap)


def _thinned(curve: PRCurve) -> tuple[NDArray, NDArray]:
    recall, precision = np.asarray(curve.recall, dtype=float), np.asarray(curve.precision, dtype=float)
    kept = np.unique(np.linspace(0, max(len(recall) - 1, 0), MAX_POINTS).round().astype(int)) if len(recall) else []
    return recall[kept], precision[kept]


def draw_curves(curves: Sequence[PRCurve]) -> Figure:
    """A figure with a panel per class, in the order in which the classes first appear."""
    names = list(dict.fromkeys(curve.name for curve in curves))
    figure = Figure(figsize=(3.2 * max(len(names), 1), 3.1), layout="constrained")
    for axes, name in zip(figure.subplots(1, max(len(names), 1), squeeze=False)[0], names, strict=False):
        for index, curve in enumerate(curve for curve in curves if curve.name == name):
            style = LINE_STYLES[index % len(LINE_STYLES)]
            label = f"{curve.threshold}: AP {curve.ap:.3f}"
            axes.plot(*_thinned(curve), style, color=class_color(name), linewidth=1.6, label=label)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision", title=name)
        axes.grid(linewidth=0.4, alpha=0.6)
        axes.legend(fontsize=7, loc="best")
    return figure


def curves_svg(curves: Sequence[PRCurve]) -> str:
    """The figure as an ``<svg>`` element for a page; text stays text, the same curves give the same bytes."""
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "mapstack"}):
        figure = draw_curves(curves)
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        FigureCanvasSVG(figure).print_svg(buffer, metadata=metadata)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
