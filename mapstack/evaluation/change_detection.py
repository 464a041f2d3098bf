"""Map change detection: which pieces of an aged map the sensors contradict, against the list of what has changed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapstack.maps.changes import CONTRADICTED, ChangeIndex, MapChange

from .average_precision import average_precision, rank

__all__ = ["ChangeScores", "JudgedPieces", "score_changes"]


@dataclass(frozen=True)
class JudgedPieces:
    """The prior's pieces of one frame, each with how much the sensors contradict it.

    Args:
        lines: N arrays (n_i, >= 2), world metres.
        names: N classes of :data:`mapstack.maps.CLASSES`.
        scores: (N,) in [0, 1], high for what is no longer there.
    """

    lines: Sequence[NDArray]
    names: Sequence[str]
    scores: NDArray

    def __post_init__(self) -> None:
        if not len(self.lines) == len(self.names) == len(self.scores):
            raise ValueError(f"{len(self.lines)} lines, {len(self.names)} names, {len(self.scores)} scores")
        scores = np.asarray(self.scores, dtype=float)
        if len(scores) and not (np.isfinite(scores).all() and 0 <= scores.min() and scores.max() <= 1):
            raise ValueError(f"scores must lie in [0, 1], got {scores.min()} to {scores.max()}")


@dataclass(frozen=True)
class ChangeScores:
    """How well changes were found.

    Args:
        precision: share of the contradicted pieces that are wrong indeed; NaN where none was contradicted.
        recall: share of the wrong pieces that were contradicted; NaN where there was none.
        average_precision: over all thresholds; NaN where there was no wrong piece.
        num_pieces: judged.
        num_wrong: of them, those that show what is no longer there.
        changes_seen: changes of the list that some piece showed.
        changes_found: of them, those that were contradicted at least once.
        recall_by_operation: share of the changes seen that were found, for each operation that was seen.
    """

    precision: float
    recall: float
    average_precision: float
    num_pieces: int
    num_wrong: int
    changes_seen: int
    changes_found: int
    recall_by_operation: dict[str, float]


def score_changes(frames: Iterable[JudgedPieces], changes: Sequence[MapChange], threshold: float = 0.5) -> ChangeScores:
    """Compare contradictions with the list of changes, pooled over frames.

    What the aged map lacks ("removed") cannot be contradicted, and an uncovered tile claims nothing: neither counts.

    Args:
        frames: pieces of one aged map; the same piece of ground may be judged in many frames.
        changes: of that map, all of them.
        threshold: a piece is contradicted from this score on.
    """
    index = ChangeIndex(changes)
    scores, wrong = [np.zeros(0)], [np.zeros(0, bool)]
    seen: set[int] = set()
    found: set[int] = set()
    for frame in frames:
        is_wrong = index.contradicted(frame.lines, frame.names)
        piece, change, _ = index.overlaps(frame.lines, frame.names)
        of_wrong = is_wrong[piece]
        seen.update(change[of_wrong].tolist())
        found.update(change[of_wrong & (np.asarray(frame.scores)[piece] >= threshold)].tolist())
        scores.append(np.asarray(frame.scores, dtype=float))
        wrong.append(is_wrong)
    pooled, truth = np.concatenate(scores), np.concatenate(wrong)
    flagged = pooled >= threshold
    hits = int((flagged & truth).sum())
    return ChangeScores(
        precision=hits / int(flagged.sum()) if flagged.any() else float("nan"),
        recall=hits / int(truth.sum()) if truth.any() else float("nan"),
        average_precision=average_precision(truth[rank(pooled)], int(truth.sum())),
        num_pieces=len(truth),
        num_wrong=int(truth.sum()),
        changes_seen=len(seen),
        changes_found=len(found),
        recall_by_operation=_by_operation(index.changes, seen, found),
    )


def _by_operation(changes: Sequence[MapChange], seen: set[int], found: set[int]) -> dict[str, float]:
    shares = {}
    for operation in CONTRADICTED:
        visible = [k for k in seen if changes[k].operation == operation]
        if visible:
            shares[operation] = sum(k in found for k in visible) / len(visible)
    return shares
