"""OpenLane-V2's score of a centerline graph: detections of lanes, and which lane leads to which."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mapstack.errors import DataError

from .frames import Chunk, EvaluationSet, Side
from .pooled import Bins, Detections, PooledScorer, match_sides
from .protocols import Protocol
from .statistics import mean_of_rows
from .workers import in_order

__all__ = ["LaneGraphScorer", "LaneGraphs", "collect_lane_graph", "vertex_ap"]

LANE_CLASS = "centerline"


@dataclass(frozen=True)
class LaneGraphs:
    """The matched set.

    Args:
        detections: lanes as one class.
        top_sums: (F, T) sum over a frame's vertices of their AP, successors and predecessors.
        top_counts: (F,) how many vertices that were, two for each target lane.
    """

    detections: Detections
    top_sums: NDArray
    top_counts: NDArray


def vertex_ap(edges: NDArray, confidence: NDArray, min_confidence: float = 0.5) -> NDArray:
    """AP of each vertex's outgoing edges.

    Args:
        edges: (N, N) bool, the true ones.
        confidence: (N, N) of the predicted ones, row to column.
        min_confidence: predicted edges are those above it.

    Returns:
        (N,) the mean precision at the true edges; 1 where there is neither a true nor a predicted edge.
    """
    order = np.argsort(-confidence, axis=1, kind="stable")
    predicted = np.take_along_axis(confidence, order, axis=1) > min_confidence
    hits = np.take_along_axis(edges, order, axis=1) & predicted
    precision = np.cumsum(hits, axis=1) / np.arange(1, edges.shape[1] + 1)
    true = edges.sum(1)
    found = (precision * hits).sum(1) / np.maximum(true, 1)
    return np.where((true == 0) & ~predicted.any(1), 1.0, np.where(true == 0, 0.0, found))


def _topology(side: Side, number: int, lanes: NDArray, where: str) -> NDArray:
    """(N, N) float64 over the lanes of frame ``number``; ``lanes`` (count,) bool over its elements."""
    matrix = np.asarray(side.entries[number].get("topology", ()), dtype=np.float64)
    if not len(lanes):
        return np.zeros((0, 0))
    if matrix.shape != (len(lanes), len(lanes)):
        raise DataError(
            f"{where}: this protocol needs 'topology', {len(lanes)} x {len(lanes)} confidences that vector i leads to "
            f"vector j; got shape {matrix.shape}"
        )
    if not ((matrix >= 0) & (matrix <= 1)).all():
        raise DataError(f"{where}: 'topology' holds values outside [0, 1]")
    return matrix[np.ix_(lanes, lanes)]


def _lanes_only(side: Side, classes: tuple[str, ...]) -> tuple[Side, list[NDArray]]:
    """The side's lanes as class 0, and which elements of each frame they are."""
    lanes = np.ones(len(side.labels), dtype=bool)
    if LANE_CLASS in classes:
        lanes = side.labels == classes.index(LANE_CLASS)
    chosen = side.where(lanes)
    return replace(chosen, labels=np.zeros_like(chosen.labels)), np.split(lanes, np.cumsum(side.counts())[:-1])


def _frame_topology(true: NDArray, predicted: NDArray, match: NDArray, min_confidence: float) -> float:
    """Sum over vertices of a frame's edge AP; ``match`` (P,) holds each prediction's target or -1.

    Between targets that were not both found, the graph is taken for the opposite of the truth.
    """
    confidence = (1.0 - true) * (min_confidence + np.finfo(np.float32).eps)
    found = np.flatnonzero(match >= 0)
    confidence[np.ix_(match[found], match[found])] = predicted[np.ix_(found, found)]
    edges = true > min_confidence
    return float(sum(vertex_ap(e, c, min_confidence).sum() for e, c in ((edges, confidence), (edges.T, confidence.T))))


def _score_chunk(protocol: Protocol, chunk: Chunk, frames: EvaluationSet, bins: Bins) -> LaneGraphs:
    (predictions, of_predictions), (targets, of_targets) = (
        _lanes_only(side, frames.classes) for side in (chunk.predictions, chunk.targets)
    )
    detections = match_sides(protocol, predictions, targets, 1, bins)
    sums = np.zeros((len(chunk.tokens), len(protocol.thresholds_m)))
    counts = np.zeros(len(chunk.tokens))
    for number, token in enumerate(chunk.tokens):
        true = _topology(chunk.targets, number, of_targets[number], f"{frames.targets.name}: token {token}")
        predicted = _topology(
            chunk.predictions, number, of_predictions[number], f"{frames.predictions.name}: token {token}"
        )
        rows = np.flatnonzero(predictions.frames == chunk.first + number)
        first_target = np.searchsorted(targets.frames, chunk.first + number)
        counts[number] = 2 * len(true)
        for column in range(len(protocol.thresholds_m) if len(true) else 0):
            match = np.where(detections.hits[rows, column], detections.nearest[rows] - first_target, -1)
            sums[number, column] = _frame_topology(true, predicted, match, protocol.min_edge_confidence)
    return LaneGraphs(detections, sums, counts)


def collect_lane_graph(protocol: Protocol, frames: EvaluationSet, bins: Bins) -> LaneGraphs:
    """Match the whole set, chunk by chunk."""
    parts = list(in_order(lambda chunk: _score_chunk(protocol, chunk, frames, bins), frames.chunks(protocol.dim)))
    if not parts:
        num_thresholds = len(protocol.thresholds_m)
        return LaneGraphs(Detections.empty(num_thresholds), np.zeros((0, num_thresholds)), np.zeros(0))
    return LaneGraphs(
        Detections.join([part.detections for part in parts]),
        np.concatenate([part.top_sums for part in parts]),
        np.concatenate([part.top_counts for part in parts]),
    )


class LaneGraphScorer:
    """DET_l, TOP_ll and OLS, the mean of DET_l and the square root of TOP_ll.

    OpenLane-V2's own OLS also averages over traffic elements (DET_t, TOP_lt), which a map of lanes has not.

    Args:
        protocol: thresholds and AP mode.
        graphs: the matched set.
        units: (F,) int64.
    """

    rows = ("DET_l", "TOP_ll")

    def __init__(self, protocol: Protocol, graphs: LaneGraphs, units: NDArray) -> None:
        self.columns = protocol.thresholds_m
        self._detections = PooledScorer(protocol, (LANE_CLASS,), graphs.detections, units)
        num_units = int(units.max(initial=-1)) + 1
        self._sums, self._counts = np.zeros((num_units, len(self.columns))), np.zeros(num_units)
        np.add.at(self._sums, units, graphs.top_sums)
        np.add.at(self._counts, units, graphs.top_counts)

    def _topology(self, weights: NDArray) -> NDArray:
        """(R, T), 0 without a target lane, as the devkit has it."""
        counts = self._counts @ weights
        return np.where(counts > 0, (self._sums.T @ weights) / np.maximum(counts, 1.0), 0.0).T

    def table(self) -> NDArray:
        """(2, T) DET_l and TOP_ll by threshold."""
        return np.concatenate([self._detections.table(), self._topology(np.ones((len(self._counts), 1)))])

    def tables(self, weights: NDArray) -> NDArray:
        """(R, 2, T) with unit u counted ``weights[u, r]`` times."""
        return np.concatenate([self._detections.tables(weights), self._topology(weights)[:, None]], axis=1)

    def total(self, means: NDArray) -> NDArray:
        """(...,) OLS from (..., 2)."""
        return mean_of_rows(np.stack([means[..., 0], np.sqrt(means[..., 1])], axis=-1))
