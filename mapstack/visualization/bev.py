"""The patch from above: map, LiDAR points, heat and the car, x forward to the right, y left upwards."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from mapstack.geometry import BEVGrid

from .drawn_map import DrawnMap
from .palette import class_color

__all__ = [
    "EGO_OUTLINE",
    "BEVPanel",
    "draw_bev",
    "feature_colors",
    "feature_strength",
    "heat_picture",
    "lidar_grid",
    "lidar_picture",
]

DPI = 100
LIDAR_CELL_M = 0.2
PAPER, INK = 255, 110  # grey of the picture where no LiDAR point fell, and where many did
# A small car seen from above with a notch that points forward; ego metres from the middle of the rear axle.
EGO_OUTLINE = ((-0.9, -0.9), (3.1, -0.9), (3.6, 0.0), (3.1, 0.9), (-0.9, 0.9), (-0.4, 0.0), (-0.9, -0.9))


@dataclass(frozen=True)
class BEVPanel:
    """One picture of a row; each layer may be left out.

    Args:
        title: shown above.
        drawn: map lines.
        points: (M, >= 2) LiDAR points, ego metres.
        heat: (rows, cols) over the grid, row 0 at the smallest y.
    """

    title: str
    drawn: DrawnMap | None = None
    points: NDArray | None = None
    heat: NDArray | None = None


def lidar_grid(grid: BEVGrid) -> BEVGrid:
    """The same patch in cells fine enough to draw LiDAR points: whole parts of a grid cell, at most 0.2 m."""
    return grid.with_cell(grid.cell_m / math.ceil(grid.cell_m / LIDAR_CELL_M - 1e-9))


def lidar_picture(points: NDArray, grid: BEVGrid) -> NDArray:
    """How many points fell into each cell, as a picture: white where none, darker with their logarithm.

    Args:
        points: (M, >= 2) ego metres; those outside the patch are left out.
        grid: its cells are the pixels.

    Returns:
        (rows, cols) uint8, row 0 at the TOP, which is the largest y.
    """
    rows, cols = grid.shape
    cells = grid.cells(np.asarray(points, dtype=float))
    cells = cells[((cells >= 0) & (cells < [rows, cols])).all(axis=1)]
    counts = np.bincount(cells[:, 0] * cols + cells[:, 1], minlength=rows * cols).reshape(rows, cols)
    share = np.clip(np.log1p(counts) / np.log1p(8), 0, 1)
    return np.round(PAPER - (PAPER - INK) * share).astype(np.uint8)[::-1]


def heat_picture(heat: NDArray, low: float | None = None, high: float | None = None) -> NDArray:
    """Colour a (rows, cols) array, dark for low and bright for high; not-a-number is drawn grey.

    Args:
        heat: row 0 at the smallest y, as every BEV tensor has it.
        low: value of the darkest colour; None takes the smallest finite one.
        high: value of the brightest colour; None takes the largest finite one.

    Returns:
        (rows, cols, 3) uint8 RGB, row 0 at the TOP.
    """
    if heat.ndim != 2:
        raise ValueError(f"heat must be (rows, cols), got {heat.shape}")
    finite = np.isfinite(heat)
    if not finite.any():
        return np.full((*heat.shape, 3), 128, dtype=np.uint8)
    low = float(heat[finite].min()) if low is None else low
    high = float(heat[finite].max()) if high is None else high
    level = np.where(finite, (heat - low) / max(high - low, 1e-12), 0.0).clip(0, 1)
    colors = cv2.applyColorMap(np.round(level * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1].copy()
    colors[~finite] = 128
    return colors[::-1]


def feature_strength(features: NDArray) -> NDArray:
    """(rows, cols) length of the feature vector in each cell of (C, rows, cols)."""
    return np.linalg.norm(np.asarray(features, dtype=float), axis=0)


def feature_colors(features: NDArray) -> NDArray:
    """Show (C, rows, cols) features by their three strongest directions: cells that look alike are alike.

    Returns:
        (rows, cols, 3) uint8 RGB, row 0 at the TOP.
    """
    channels, rows, cols = features.shape
    flat = np.asarray(features, dtype=float).reshape(channels, -1).T
    flat = flat - flat.mean(axis=0)
    _, directions = np.linalg.eigh(flat.T @ flat)
    parts = flat @ directions[:, ::-1][:, :3]  # (cells, <= 3)
    parts = np.pad(parts, ((0, 0), (0, 3 - parts.shape[1])))
    spread = np.maximum(3 * parts.std(axis=0), 1e-12)
    return np.round((parts / spread).clip(-1, 1) * 127 + 128).astype(np.uint8).reshape(rows, cols, 3)[::-1]


def _draw_panel(axes: Axes, grid: BEVGrid, panel: BEVPanel) -> None:
    x_min, y_min, x_max, y_max = grid.box_xy
    extent = (x_min, x_max, y_min, y_max)
    if panel.heat is not None:
        axes.imshow(heat_picture(panel.heat), extent=extent, interpolation="nearest")
    if panel.points is not None:
        picture = lidar_picture(panel.points, lidar_grid(grid))
        see_through = np.dstack([np.zeros((*picture.shape, 3), np.uint8), PAPER - picture])
        axes.imshow(see_through, extent=extent, interpolation="nearest")
    if panel.drawn is not None:
        drawn = panel.drawn
        colors = [class_color(drawn.classes[label]) for label in drawn.labels]
        widths = 1.8 if drawn.scores is None else 0.8 + 1.6 * np.asarray(drawn.scores)
        lines = [np.asarray(line)[:, :2] for line in drawn.vertices]
        axes.add_collection(LineCollection(lines, colors=colors, linewidths=widths, capstyle="round"))
    axes.fill(*np.array(EGO_OUTLINE).T, color="#d62728", zorder=3)
    axes.set(xlim=(x_min, x_max), ylim=(y_min, y_max), aspect="equal", title=panel.title)
    axes.tick_params(labelsize=7)


def draw_bev(grid: BEVGrid, panels: Sequence[BEVPanel], *, panel_width_px: int = 700) -> NDArray:
    """Draw panels side by side with one legend: truth beside prediction, or a single patch.

    Args:
        grid: the patch; its range is the picture's.
        panels: at least one.
        panel_width_px: width of one panel with its axis labels.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    if not panels:
        raise ValueError("draw_bev needs at least one panel")
    width = panel_width_px / DPI
    height = width * grid.size_m[1] / grid.size_m[0] + 0.9  # inches, the rest for title and legend
    figure = Figure(figsize=(width * len(panels), height), dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw_panel(axes, grid, panel)
    names = list(dict.fromkeys(name for panel in panels if panel.drawn is not None for name in panel.drawn.classes))
    if names:
        handles = [Line2D([], [], color=class_color(name), linewidth=2, label=name) for name in names]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(names), fontsize=8, frameon=False)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
