"""AP pooled over the set: every prediction of every frame in one ranking per class."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import shapely
from numpy.typing import NDArray

from .average_precision import average_precision, drawn_average_precision, rank
from .distances import nearest_target
from .frames import Chunk, EvaluationSet, Side
from .matching import match_nearest
from .protocols import Protocol
from .statistics import mean_of_rows, summarise
from .workers import in_order

__all__ = ["Bins", "Detections", "PooledScorer", "breakdown", "collect", "match_sides"]


@dataclass(frozen=True)
class Bins:
    """Edges that split elements by distance to the ego and by length, metres; the last bin is open."""

    distance_m: tuple[float, ...] = (0.0, 10.0, 20.0, 30.0)
    length_m: tuple[float, ...] = (0.0, 5.0, 15.0, 30.0)

    def names(self, kind: str) -> list[str]:
        """Labels such as "10-20 m" of the "distance" or "length" bins."""
        edges = self.distance_m if kind == "distance" else self.length_m
        pairs = zip(edges, (*edges[1:], None), strict=True)
        return [f"{low:g}-{high:g} m" if high is not None else f">={low:g} m" for low, high in pairs]


@dataclass(frozen=True)
class Detections:
    """All predictions and targets of the set, tokens in sorted order, without their points.

    Args:
        scores: (N,).
        labels: (N,) int16.
        frames: (N,) int32.
        hits: (N, T) bool, by threshold.
        nearest: (N,) int64 index into the targets; meaningful where it hit.
        bins: (N, 2) int8, own distance and length bin.
        target_labels: (M,) int16.
        target_frames: (M,) int32.
        target_bins: (M, 2) int8.
    """

    scores: NDArray
    labels: NDArray
    frames: NDArray
    hits: NDArray
    nearest: NDArray
    bins: NDArray
    target_labels: NDArray
    target_frames: NDArray
    target_bins: NDArray

    @classmethod
    def empty(cls, num_thresholds: int) -> "Detections":
        """A set without frames."""
        none, pairs = np.zeros(0, np.int64), np.zeros((0, 2), np.int8)
        return cls(np.zeros(0), none, none, np.zeros((0, num_thresholds), bool), none, pairs, none, none, pairs)

    @classmethod
    def join(cls, parts: list["Detections"]) -> "Detections":
        """One after the other, ``nearest`` renumbered."""
        offset, moved = 0, []
        for part in parts:
            moved.append(part.nearest + offset)
            offset += len(part.target_labels)
        fields = {name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])}
        return cls(**{**fields, "nearest": np.concatenate(moved)})


def _bins(side: Side, bins: Bins) -> NDArray:
    """(N, 2) int8 distance and length bin of each element."""
    values = side.lines.distance_to_ego_m(), side.lines.lengths_m()
    edges = bins.distance_m, bins.length_m
    return np.stack(
        [np.clip(np.searchsorted(e, v, side="right") - 1, 0, None) for e, v in zip(edges, values, strict=True)], 1
    ).astype(np.int8)


def _buffers_meet(predictions: NDArray, targets: NDArray, width_m: float):
    """A filter of index pairs: MapTR's flat-capped, mitred buffers intersect."""
    areas = [
        shapely.buffer(shapely.linestrings(points[..., :2]), width_m, cap_style="flat", join_style="mitre")
        for points in (predictions, targets)
    ]

    def meet(pairs: NDArray) -> NDArray:
        return shapely.intersects(areas[0][pairs[:, 0]], areas[1][pairs[:, 1]])

    return meet


def _closer_when_far(protocol: Protocol, targets: NDArray) -> NDArray | None:
    """(M,) OpenLane-V2's factor on distances: less by a share per metre between target and ego, at least half."""
    if not protocol.relax_per_m:
        return None
    away_m = np.sqrt((targets**2).sum(-1)).min(1)
    return np.maximum(0.5, 1.0 - protocol.relax_per_m * away_m)


def match_sides(protocol: Protocol, predictions: Side, targets: Side, num_classes: int, bins: Bins) -> Detections:
    """Match the frames of one chunk."""
    simplified = targets.lines.simplified(protocol.simplify_targets_m)
    points = [lines.resampled(protocol.num_points, protocol.keep_sampled) for lines in (predictions.lines, simplified)]
    groups = tuple(side.frames * num_classes + side.labels for side in (predictions, targets))
    allowed = _buffers_meet(*points, protocol.buffer_m) if protocol.buffer_m else None
    scale = _closer_when_far(protocol, points[1])
    nearest, distances = nearest_target(*points, groups, protocol, allowed, scale)
    return Detections(
        predictions.scores,
        predictions.labels.astype(np.int16),
        predictions.frames.astype(np.int32),
        match_nearest(nearest, distances, predictions.scores, protocol.thresholds_m, protocol.inclusive),
        nearest,
        _bins(predictions, bins),
        targets.labels.astype(np.int16),
        targets.frames.astype(np.int32),
        _bins(targets, bins),
    )


def _match_chunk(chunk: Chunk, protocol: Protocol, num_classes: int, bins: Bins) -> Detections:
    return match_sides(protocol, chunk.predictions, chunk.targets, num_classes, bins)


def collect(protocol: Protocol, frames: EvaluationSet, bins: Bins) -> Detections:
    """Match the whole set, chunk by chunk."""
    work = partial(_match_chunk, protocol=protocol, num_classes=len(frames.classes), bins=bins)
    parts = list(in_order(work, frames.chunks(protocol.dim)))
    return Detections.join(parts) if parts else Detections.empty(len(protocol.thresholds_m))


class PooledScorer:
    """AP per class and threshold, for any weighting of the units that the bootstrap draws.

    Args:
        protocol: AP mode and the rule for absent classes.
        classes: row names.
        detections: the matched set.
        units: (F,) int64 unit of each frame.
    """

    def __init__(self, protocol: Protocol, classes: tuple[str, ...], detections: Detections, units: NDArray) -> None:
        self.protocol, self.rows, self.columns = protocol, classes, protocol.thresholds_m
        self._detections = detections
        self._order = []
        for label in range(len(classes)):
            rows = np.flatnonzero(detections.labels == label)
            self._order.append(rows[rank(detections.scores[rows])])
        self._units = [units[detections.frames[rows]] for rows in self._order]
        self._hits = [detections.hits[rows] for rows in self._order]
        num_units = int(units.max(initial=-1)) + 1
        self._targets = np.zeros((len(classes), num_units))  # targets of each class and unit
        np.add.at(self._targets, (detections.target_labels, units[detections.target_frames]), 1.0)

    def table(self) -> NDArray:
        """(K, T) AP."""
        table = np.empty((len(self.rows), len(self.columns)))
        for label, hits in enumerate(self._hits):
            for column in range(len(self.columns)):
                ap = average_precision(hits[:, column], self._targets[label].sum(), self.protocol.ap_mode)
                table[label, column] = self._absent(len(hits)) if np.isnan(ap) else ap
        return table

    def tables(self, weights: NDArray) -> NDArray:
        """(R, K, T) AP with unit u counted ``weights[u, r]`` times."""
        tables = np.empty((weights.shape[1], len(self.rows), len(self.columns)))
        for label, (units, hits) in enumerate(zip(self._units, self._hits, strict=True)):
            num_targets = self._targets[label] @ weights
            aps = drawn_average_precision(hits, units, weights, num_targets, self.protocol.ap_mode)
            tables[:, label] = np.where(np.isnan(aps), self._absent(len(units)), aps)
        return tables

    def table_of(self, predictions: NDArray, targets: NDArray) -> NDArray:
        """(K, T) AP of part of the set; NaN where the part has no target.

        Args:
            predictions: (N, T) bool, which count, by threshold.
            targets: (M,) bool, which count.
        """
        table = np.empty((len(self.rows), len(self.columns)))
        num_targets = np.bincount(self._detections.target_labels[targets], minlength=len(self.rows))
        for label, rows in enumerate(self._order):
            for column in range(len(self.columns)):
                hits = self._hits[label][predictions[rows, column], column]
                table[label, column] = average_precision(hits, num_targets[label], self.protocol.ap_mode)
        return table

    def total(self, means: NDArray) -> NDArray:
        """(...,) mAP from (..., K) AP per class."""
        return mean_of_rows(means)

    def _absent(self, num_predictions: int) -> float:
        rule = self.protocol.absent_class
        if rule == "one_if_no_prediction":
            return 0.0 if num_predictions else 1.0
        return 0.0 if rule == "zero" else float("nan")


def breakdown(scorer: PooledScorer, detections: Detections, kind: str, bins: Bins) -> dict[str, dict[str, float]]:
    """AP of each bin: its targets, the predictions that hit one of them, and the misses that lie in it.

    Args:
        scorer: of the whole set.
        detections: the same set.
        kind: "distance" or "length".
        bins: the edges that ``detections`` were made with.
    """
    column = ("distance", "length").index(kind)
    own = np.broadcast_to(detections.bins[:, column, None], detections.hits.shape)
    of_target = own
    if len(detections.target_bins):
        of_target = np.where(detections.hits, detections.target_bins[detections.nearest, column, None], own)
    found = {}
    for number, name in enumerate(bins.names(kind)):
        table = scorer.table_of(of_target == number, detections.target_bins[:, column] == number)
        found[name] = dict(zip((*scorer.rows, "mAP"), summarise(scorer, table).tolist(), strict=True))
    return found
