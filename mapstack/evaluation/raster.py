"""Lines as cells: IoU of drawn maps, and the cells that one element covers."""

import cv2
import numpy as np
from numpy.typing import NDArray

from .frames import Chunk, EvaluationSet, Side
from .protocols import Protocol
from .statistics import mean_of_rows
from .workers import in_order

__all__ = ["RasterScorer", "cells_m", "collect_raster", "draw"]


def draw(vertices: NDArray, mask: NDArray, origin: tuple[float, float], cell_m: float, thickness_px: int) -> None:
    """Draw one polyline into a (rows, cols) uint8 mask, row along y, through the cells of its vertices.

    Args:
        vertices: (n, >= 2) ego metres.
        mask: changed in place.
        origin: (x, y) metres of the outer corner of cell (0, 0).
        cell_m: cell size.
        thickness_px: line width in cells.
    """
    cells = np.floor((vertices[:, :2] - origin) / cell_m).astype(np.int32)
    cv2.polylines(mask, [cells.reshape(-1, 1, 2)], isClosed=False, color=1, thickness=thickness_px)


def cells_m(vertices: NDArray, cell_m: float, thickness_px: int) -> NDArray:
    """(C, 2) metres of the cells that one polyline covers, on the lattice through the ego origin; any range."""
    margin = thickness_px + 1
    low = np.floor(vertices[:, :2].min(0) / cell_m).astype(np.int64) - margin
    high = np.floor(vertices[:, :2].max(0) / cell_m).astype(np.int64) + margin
    mask = np.zeros((high - low + 1)[::-1], np.uint8)
    draw(vertices, mask, tuple(low * cell_m), cell_m, thickness_px)
    return (np.argwhere(mask)[:, ::-1] + low) * cell_m


def _masks(side: Side, first: int, protocol: Protocol, num_classes: int) -> NDArray:
    """(F, K, rows, cols) uint8 of the side's frames."""
    x_min, y_min, x_max, y_max = protocol.pc_range_xy
    shape = round((y_max - y_min) / protocol.cell_m), round((x_max - x_min) / protocol.cell_m)
    masks = np.zeros((len(side.entries), num_classes, *shape), np.uint8)
    ends = np.cumsum(side.lines.counts)
    for start, end, frame, label in zip(ends - side.lines.counts, ends, side.frames - first, side.labels, strict=True):
        draw(
            side.lines.vertices[start:end], masks[frame, label], (x_min, y_min), protocol.cell_m, protocol.thickness_px
        )
    return masks


def collect_raster(protocol: Protocol, frames: EvaluationSet) -> tuple[NDArray, list[NDArray]]:
    """(F, K, 2) cells in the intersection and in the union; and (K,) elements of targets and predictions."""
    num_classes = len(frames.classes)

    def work(chunk: Chunk) -> tuple[NDArray, NDArray, NDArray]:
        drawn = chunk.predictions.where(chunk.predictions.scores > protocol.min_score)
        both = [_masks(side, chunk.first, protocol, num_classes) for side in (drawn, chunk.targets)]
        areas = np.stack([(both[0] & both[1]).sum((2, 3)), (both[0] | both[1]).sum((2, 3))], axis=-1)
        return areas, *(np.bincount(side.labels, minlength=num_classes) for side in (chunk.targets, drawn))

    parts = list(in_order(work, frames.chunks(2)))
    if not parts:
        return np.zeros((0, num_classes, 2)), [np.zeros(num_classes, np.int64)] * 2
    areas, *counts = zip(*parts, strict=True)
    return np.concatenate(areas).astype(float), [np.sum(part, axis=0) for part in counts]


class RasterScorer:
    """IoU per class, cells summed over the set.

    Args:
        classes: row names.
        areas: (F, K, 2) intersection and union.
        units: (F,) int64.
    """

    columns = (0.0,)

    def __init__(self, classes: tuple[str, ...], areas: NDArray, units: NDArray) -> None:
        self.rows = classes
        self._areas = np.zeros((int(units.max(initial=-1)) + 1, *areas.shape[1:]))  # (U, K, 2)
        np.add.at(self._areas, units, areas)

    def table(self) -> NDArray:
        """(K, 1) IoU; NaN where nothing was drawn."""
        return self.tables(np.ones((len(self._areas), 1)))[0]

    def tables(self, weights: NDArray) -> NDArray:
        """(R, K, 1) IoU with unit u counted ``weights[u, r]`` times."""
        intersection, union = np.einsum("uka,ur->ark", self._areas, weights)
        return np.where(union > 0, intersection / np.maximum(union, 1.0), np.nan)[..., None]

    def total(self, means: NDArray) -> NDArray:
        """(...,) mIoU from (..., K) IoU per class."""
        return mean_of_rows(means)
