"""Which predictions hit: best score first, each claims its nearest target or nothing."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["SLACK_M", "match_nearest", "match_smallest_first", "within"]

# Distances are known to rounding only; without the slack, reversing a polyline that lies exactly one threshold
# away could turn a hit into a miss.
SLACK_M = 1e-9


def within(distances: NDArray, threshold_m: float, inclusive: bool) -> NDArray:
    """Where ``distances`` are at most ``threshold_m`` (below it when not ``inclusive``), rounding apart."""
    return distances <= threshold_m + SLACK_M if inclusive else distances < threshold_m - SLACK_M


def match_nearest(
    nearest: NDArray, distances: NDArray, scores: NDArray, thresholds_m: tuple[float, ...], inclusive: bool = True
) -> NDArray:
    """Hits of many frames and classes at once.

    Best score first (equal scores: first come), a prediction claims its nearest target if that is close
    enough and free. There is no second choice.

    Args:
        nearest: (N,) int64, the nearest target, numbered over all frames and classes; ignored where
            ``distances`` is infinite.
        distances: (N,) metres to it, infinite where the frame has no target of the class.
        scores: (N,).
        thresholds_m: T limits.
        inclusive: whether a distance equal to the limit hits.

    Returns:
        (N, T) bool.
    """
    hits = np.zeros((len(scores), len(thresholds_m)), dtype=bool)
    order = np.argsort(-scores, kind="stable")
    for column, threshold_m in enumerate(thresholds_m):
        close = order[within(distances[order], threshold_m, inclusive)]
        _, first = np.unique(nearest[close], return_index=True)
        hits[close[first], column] = True
    return hits


def match_smallest_first(distances: NDArray, threshold_m: float) -> NDArray:
    """Hits of one frame and class in HDMapNet's way: the globally closest pair first, each side used once.

    Args:
        distances: (N, M) metres between predictions and targets.
        threshold_m: only pairs below it count.

    Returns:
        (N,) float: the distance of the pair that each prediction is in, infinite for a miss.
    """
    paired = np.full(distances.shape[0], np.inf)
    left = np.where(within(distances, threshold_m, inclusive=False), distances, np.inf)
    while left.size and np.isfinite(left.min()):
        i, j = np.unravel_index(left.argmin(), left.shape)
        paired[i] = left[i, j]
        left[i], left[:, j] = np.inf, np.inf
    return paired
