"""AP per frame and class between drawn elements, averaged over frames: HDMapNet's way, and its heirs'."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .average_precision import average_precision, rank
from .frames import Chunk, EvaluationSet, Side
from .matching import match_smallest_first
from .protocols import Protocol
from .raster import cells_m
from .statistics import mean_of_rows
from .workers import in_order

__all__ = ["FrameScorer", "cell_distances_m", "collect_per_frame"]


def _cells(side: Side, protocol: Protocol, thickness_px: int) -> list[NDArray]:
    ends = np.cumsum(side.lines.counts)
    return [
        cells_m(side.lines.vertices[start:end], protocol.cell_m, thickness_px)
        for start, end in zip(ends - side.lines.counts, ends, strict=True)
    ]


def cell_distances_m(predictions: list[NDArray], targets: list[NDArray], reach_m: float) -> NDArray:
    """(N, M) Chamfer distance between sets of cells; infinite where the bounding boxes are beyond ``reach_m``."""
    distances = np.full((len(predictions), len(targets)), np.inf)
    if not distances.size:
        return distances
    boxes = [
        (np.array([c.min(0) for c in side]), np.array([c.max(0) for c in side])) for side in (predictions, targets)
    ]
    gap = np.maximum(boxes[1][0][None] - boxes[0][1][:, None], boxes[0][0][:, None] - boxes[1][1][None])
    trees = [[cKDTree(cells) for cells in side] for side in (predictions, targets)]
    for i, j in np.argwhere((np.maximum(gap, 0.0) ** 2).sum(-1) <= reach_m**2):
        there, back = trees[1][j].query(predictions[i])[0], trees[0][i].query(targets[j])[0]
        distances[i, j] = (there.mean() + back.mean()) / 2
    return distances


def _frame_aps(protocol: Protocol, distances: NDArray, scores: NDArray) -> list[float]:
    """AP at each threshold of one frame and class that has predictions or targets."""
    order = rank(scores, protocol.ascending_scores)
    num_targets = distances.shape[1]
    if not num_targets:
        return [0.0] * len(protocol.thresholds_m)
    hits = [np.isfinite(match_smallest_first(distances, threshold_m)) for threshold_m in protocol.thresholds_m]
    return [average_precision(hit[order], num_targets, protocol.ap_mode) for hit in hits]


def _score_chunk(protocol: Protocol, chunk: Chunk, num_classes: int) -> NDArray:
    """(F, K, T) AP of each frame; NaN where a class has neither predictions nor targets."""
    sides = chunk.predictions, chunk.targets
    thickness = protocol.thickness_px, protocol.target_thickness_px
    cells = [_cells(side, protocol, width) for side, width in zip(sides, thickness, strict=True)]
    aps = np.full((len(chunk.tokens), num_classes, len(protocol.thresholds_m)), np.nan)
    for frame in range(len(chunk.tokens)):
        for label in range(num_classes):
            rows = [np.flatnonzero((s.frames == chunk.first + frame) & (s.labels == label)) for s in sides]
            if len(rows[0]) + len(rows[1]):
                chosen = [[cells[side][row] for row in rows[side]] for side in range(2)]
                distances = cell_distances_m(*chosen, max(protocol.thresholds_m))
                aps[frame, label] = _frame_aps(protocol, distances, sides[0].scores[rows[0]])
    return aps


def collect_per_frame(protocol: Protocol, frames: EvaluationSet) -> tuple[NDArray, list[NDArray]]:
    """(F, K, T) AP of each frame; and (K,) elements of targets and predictions."""
    num_classes = len(frames.classes)

    def work(chunk: Chunk) -> tuple[NDArray, NDArray, NDArray]:
        counts = (np.bincount(side.labels, minlength=num_classes) for side in (chunk.targets, chunk.predictions))
        return _score_chunk(protocol, chunk, num_classes), *counts

    parts = list(in_order(work, frames.chunks(2)))
    if not parts:
        return np.zeros((0, num_classes, len(protocol.thresholds_m))), [np.zeros(num_classes, np.int64)] * 2
    aps, *counts = zip(*parts, strict=True)
    return np.concatenate(aps), [np.sum(part, axis=0) for part in counts]


class FrameScorer:
    """Mean over the frames in which a class has predictions or targets.

    Args:
        classes: row names.
        thresholds_m: column names.
        aps: (F, K, T), NaN where there is nothing to score.
        units: (F,) int64.
    """

    def __init__(self, classes: tuple[str, ...], thresholds_m: tuple[float, ...], aps: NDArray, units: NDArray) -> None:
        self.rows, self.columns = classes, thresholds_m
        num_units = int(units.max(initial=-1)) + 1
        self._sums, self._counts = np.zeros((num_units, *aps.shape[1:])), np.zeros((num_units, *aps.shape[1:]))
        np.add.at(self._sums, units, np.nan_to_num(aps))
        np.add.at(self._counts, units, (~np.isnan(aps)).astype(float))

    def table(self) -> NDArray:
        """(K, T) mean AP; NaN where no frame has the class."""
        return self.tables(np.ones((len(self._sums), 1)))[0]

    def tables(self, weights: NDArray) -> NDArray:
        """(R, K, T) mean AP with unit u counted ``weights[u, r]`` times."""
        sums, counts = (np.einsum("ukt,ur->rkt", values, weights) for values in (self._sums, self._counts))
        return np.where(counts > 0, sums / np.maximum(counts, 1.0), np.nan)

    def total(self, means: NDArray) -> NDArray:
        """(...,) mAP from (..., K) AP per class."""
        return mean_of_rows(means)
