"""The curves behind an AP, and the AP of single frames: what a report shows beside the numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .average_precision import average_precision, rank
from .frames import EvaluationSet
from .pooled import Bins, Detections, collect
from .protocols import Protocol, get_protocol
from .submission import Submission, open_submission

__all__ = ["RankedHits", "rank_hits", "score_frames"]

Source = Mapping | str | Path | Submission


@dataclass(frozen=True)
class RankedHits:
    """One class at one threshold.

    Args:
        label: index into the set's classes.
        threshold_m: of the distance.
        hits: (n,) bool, best score first.
        num_targets: of the class.
    """

    label: int
    threshold_m: float
    hits: NDArray
    num_targets: int


def _collected(predictions: Source, targets: Source, protocol: Protocol) -> tuple[EvaluationSet, Detections]:
    frames = EvaluationSet(open_submission(predictions, "predictions"), open_submission(targets, "targets"))
    return frames, collect(protocol, frames, Bins())


def rank_hits(predictions: Source, targets: Source, protocol: str | Protocol = "maptr") -> list[RankedHits]:
    """Hits and misses of every class and threshold, by class, then threshold; of a protocol whose AP is pooled."""
    protocol = get_protocol(protocol)
    frames, detections = _collected(predictions, targets, protocol)
    ranked = []
    for label in range(len(frames.classes)):
        rows = np.flatnonzero(detections.labels == label)
        hits = detections.hits[rows[rank(detections.scores[rows])]]
        num_targets = int((detections.target_labels == label).sum())
        ranked += [
            RankedHits(label, threshold_m, hits[:, column], num_targets)
            for column, threshold_m in enumerate(protocol.thresholds_m)
        ]
    return ranked


def score_frames(predictions: Source, targets: Source, protocol: str | Protocol = "maptr") -> dict[str, float]:
    """AP within each frame, mean over the classes that it has and the thresholds; NaN for a frame without targets."""
    protocol = get_protocol(protocol)
    frames, detections = _collected(predictions, targets, protocol)
    order = rank(detections.scores)
    order = order[np.argsort(detections.frames[order], kind="stable")]  # by frame, then score
    ends = np.searchsorted(detections.frames[order], np.arange(1, len(frames.tokens) + 1))
    scores = {}
    for number, (token, rows) in enumerate(zip(frames.tokens, np.split(order, ends), strict=False)):
        labels = detections.target_labels[detections.target_frames == number]
        aps = [
            average_precision(detections.hits[rows[detections.labels[rows] == label], column], count, protocol.ap_mode)
            for label, count in zip(*np.unique(labels, return_counts=True), strict=True)
            for column in range(len(protocol.thresholds_m))
        ]
        scores[token] = float(np.mean(aps)) if aps else float("nan")
    return scores
