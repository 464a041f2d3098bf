"""How costs grow: a panel per cost, a line per contender, both axes logarithmic."""

import io
from collections.abc import Mapping, Sequence

from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

__all__ = ["growth_svg"]

MARKERS = "os^Dv<>pX*"


def growth_svg(
    curves: Mapping[str, Sequence[Mapping[str, float]]], along: str, along_label: str, panels: Mapping[str, str]
) -> str:
    """An ``<svg>`` picture; text stays text, the same numbers give the same bytes.

    On logarithmic axes a straight line of slope 1 is a cost proportional to ``along``.

    Args:
        curves: measurements by contender.
        along: key of what grows.
        along_label: its name below the axes.
        panels: key of each cost to its heading; what a contender has not got, or is not above zero, is left out.
    """
    figure = Figure(figsize=(3.4 * len(panels), 3.4), layout="constrained")
    for axes, (key, heading) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for marker, (name, rows) in zip(MARKERS, curves.items(), strict=False):
            points = sorted((row[along], row[key]) for row in rows if row.get(key, 0) > 0)
            if points:
                axes.loglog(*zip(*points, strict=True), marker=marker, markersize=4, linewidth=1.4, label=name)
        axes.set(xlabel=along_label, title=heading)
        axes.grid(which="both", linewidth=0.3, alpha=0.6)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8, frameon=False)
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "mapstack"}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    return text[text.index("<svg") :]
