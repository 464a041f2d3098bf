"""The report: one HTML file that holds the scores, the curves and the frames worth looking at."""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mapstack.geometry import BEVGrid

from .curves import PRCurve, curves_svg
from .page import Table, facts_html, page_html, table_html
from .palette import class_color
from .report_frame import ReportFrame, frame_html

__all__ = ["Report", "choose_frames", "render_report", "write_report"]

TOGGLES = (("show-prediction", "prediction on cameras"), ("show-truth", "truth on cameras"), ("show-lidar", "LiDAR"))


@dataclass(frozen=True)
class Report:
    """What a page says.

    Args:
        title: heading.
        headline: name and value of the number that sums it up.
        facts: what was scored: config, checkpoint, commit, data, number of frames.
        protocol: the protocol in full: points, resampling, thresholds, matching, rules of the truth.
        tables: per class, by range, and what else there is.
        curves: precision-recall curves; may be empty.
        grid: the patch that the frames are drawn on.
        worst: worst first.
        best: best first.
        classes: in label order, for the legend.
    """

    title: str
    headline: tuple[str, float]
    facts: Mapping[str, str]
    protocol: Mapping[str, str]
    grid: BEVGrid
    classes: tuple[str, ...]
    tables: Sequence[Table] = field(default_factory=tuple)
    curves: Sequence[PRCurve] = field(default_factory=tuple)
    worst: Sequence[ReportFrame] = field(default_factory=tuple)
    best: Sequence[ReportFrame] = field(default_factory=tuple)


def choose_frames(scores: Mapping[str, float], count: int) -> tuple[list[str], list[str]]:
    """Tokens of the worst and the best frames.

    Args:
        scores: by token; not-a-number (nothing to score) is left out.
        count: at most so many of each; with few frames the best get the rest, and no frame stands in both.

    Returns:
        Worst first, and best first; equal scores in the order of their tokens.
    """
    ranked = sorted((token for token, score in scores.items() if not math.isnan(score)), key=lambda t: (scores[t], t))
    worst = ranked[: min(count, (len(ranked) + 1) // 2)]
    return worst, ranked[len(worst) :][::-1][:count]


def _toggles_html(classes: Sequence[str]) -> str:
    boxes = "".join(f'<label><input type="checkbox" id="{id_}" checked> {text}</label>' for id_, text in TOGGLES)
    names = "".join(
        f'<label><span class="swatch" style="background:{class_color(name)}"></span>{html.escape(name)}</label>'
        for name in classes
    )
    return f'<div class="toggles">{boxes}{names}</div>'


def _frames_html(title: str, frames: Sequence[ReportFrame], grid: BEVGrid) -> str:
    if not frames:
        return ""
    return f"<h2>{html.escape(title)}</h2>" + "".join(frame_html(frame, grid) for frame in frames)


def render_report(report: Report) -> str:
    """The whole page as text."""
    name, value = report.headline
    parts = [
        f"<h1>{html.escape(report.title)}</h1>",
        f'<p class="headline">{value:.3f} <small>{html.escape(name)}</small></p>',
        '<div class="columns"><section><h3>What was scored</h3>' + facts_html(dict(report.facts)) + "</section>",
        "<section><h3>Protocol</h3>" + facts_html(dict(report.protocol)) + "</section></div>",
    ]
    if report.tables:
        parts.append('<h2>Scores</h2><div class="columns">' + "".join(map(table_html, report.tables)) + "</div>")
    if report.curves:
        parts.append(f'<h2>Precision over recall</h2><div class="curves">{curves_svg(report.curves)}</div>')
    if report.worst or report.best:
        parts.append(_toggles_html(report.classes))
    parts.append(_frames_html("Worst frames", report.worst, report.grid))
    parts.append(_frames_html("Best frames", report.best, report.grid))
    return page_html(report.title, "\n".join(parts))


def write_report(report: Report, path: Path) -> int:
    """Write the page, folders included, and return its size in bytes."""
    data = render_report(report).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return len(data)
