"""Lines as cells: IoU of drawn maps, and the cells that one element covers."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstack.geometry import BEVGrid
from mapstack.maps.patch import MapPatch
from mapstack.maps.raster import draw

from .frames import Chunk, EvaluationSet, Side
from .protocols import Protocol
from .statistics import mean_of_rows
from .workers import in_order

__all__ = ["RasterScorer", "cells_m", "collect_raster"]


def cells_m(vertices: NDArray, cell_m: float, thickness_px: int) -> NDArray:
    """(C, 2) metres of the cells that one polyline covers, on the lattice through the ego origin; any range.

    Vertices are cut off to whole cells before drawing, as HDMapNet's heirs do it.

    Args:
        vertices: (n, >= 2) ego metres.
        cell_m: cell size.
        thickness_px: OpenCV's pen.
    """
    cells = np.floor(vertices[:, :2] / cell_m).astype(np.int64)
    low = cells.min(0) - thickness_px
    mask = np.zeros((cells.max(0) + thickness_px - low + 1)[::-1], np.uint8)
    cv2.polylines(mask, [(cells - low).astype(np.int32)[:, None]], isClosed=False, color=1, thickness=thickness_px)
    return (np.argwhere(mask)[:, ::-1] + low) * cell_m


def _masks(side: Side, chunk: Chunk, protocol: Protocol, classes: tuple[str, ...]) -> NDArray:
    """(F, K, rows, cols) uint8 of the side's frames."""
    x_min, y_min, x_max, y_max = protocol.pc_range_xy
    grid = BEVGrid((x_min, y_min, -1.0, x_max, y_max, 1.0), protocol.cell_m)
    lines = np.split(side.lines.vertices, np.cumsum(side.lines.counts)[:-1]) if len(side.lines) else []
    masks = []
    for frame in range(chunk.first, chunk.first + len(chunk.tokens)):
        rows = np.flatnonzero(side.frames == frame)
        patch = MapPatch([lines[row] for row in rows], side.labels[rows], np.zeros(len(rows), bool), classes, {})
        masks.append(draw(patch, grid, protocol.thickness_px, len(classes)))
    return np.stack(masks)


def collect_raster(protocol: Protocol, frames: EvaluationSet) -> tuple[NDArray, list[NDArray]]:
    """(F, K, 2) cells in the intersection and in the union; and (K,) elements of targets and predictions."""
    num_classes = len(frames.classes)

    def work(chunk: Chunk) -> tuple[NDArray, NDArray, NDArray]:
        drawn = chunk.predictions.where(chunk.predictions.scores > protocol.min_score)
        both = [_masks(side, chunk, protocol, frames.classes) for side in (drawn, chunk.targets)]
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
