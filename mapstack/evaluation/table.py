"""A result as text: the numbers, and below them everything that must be known to compare them."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .result import Result

__all__ = ["render", "rows_to_text"]


def _figure(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.4f}"


def rows_to_text(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns aligned: the first left, the others right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) if not column else cell.rjust(width) for column, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    ]


def _interval(result: "Result", name: str) -> str:
    return "[{:.4f}, {:.4f}]".format(*result.ci95[name]) if name in result.ci95 else "-"


def _main_rows(result: "Result") -> list[list[str]]:
    raster = result.protocol.kind == "raster"
    thresholds = [] if raster else sorted({threshold_m for _, threshold_m in result.ap})
    measure = "IoU" if raster else "AP"
    header = ["class", "targets", "predictions", *(f"AP@{t:g}" for t in thresholds), measure, "95 % interval"]
    rows = [header]
    for label, name in enumerate(result.classes):
        values = [_figure(result.ap.get((label, threshold_m))) for threshold_m in thresholds]
        counts = [str(result.num_targets[name]), str(result.num_predictions[name])]
        rows.append([name, *counts, *values, _figure(result.per_class[name]), _interval(result, name)])
    for name, value in result.values.items():
        rows.append([name, "", "", *("" for _ in thresholds), _figure(value), _interval(result, name)])
    return rows


def _breakdown(title: str, bins: dict[str, dict[str, float]]) -> list[str]:
    if not bins:
        return []
    names = list(next(iter(bins.values())))
    rows = [[title, *names], *([label, *(_figure(values[name]) for name in names)] for label, values in bins.items())]
    return ["", *rows_to_text(rows)]


def render(result: "Result") -> str:
    """The printed form of a result."""
    lines = [f"{result.protocol.name} on {result.num_frames} frames", *rows_to_text(_main_rows(result))]
    lines += _breakdown("distance to ego", result.by_distance)
    lines += _breakdown("element length", result.by_length)
    lines += ["", *result.protocol.describe()]
    rules = ", ".join(f"{name}: {rule}" for name, rule in sorted(result.truth_rules().items()))
    lines.append(f"truth: {rules}")
    if result.ci95:
        drawn = result.bootstrap
        lines.append(
            f"interval: {drawn['replicates']} bootstrap draws of {drawn['num_units']} {drawn['unit']}s, "
            f"seed {drawn['seed']}" + ("; no scene was given, so it is too narrow" if drawn["unit"] == "frame" else "")
        )
    for companion in result.companions.values():
        lines += ["", render(companion)]
    return "\n".join(lines)
