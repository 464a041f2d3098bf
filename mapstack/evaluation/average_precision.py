"""Average precision of pooled, ranked predictions, with weights for the bootstrap; pure NumPy."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

__all__ = ["APMode", "average_precision", "drawn_average_precision", "rank"]

APMode = Literal["area", "11", "101", "10"]

# As quotients: a recall of 3 / 10 then equals its level to the bit, which 0.1 * 3 would not.
RECALL_LEVELS: dict[str, NDArray] = {
    "11": np.arange(11) / 10,
    "101": np.arange(101) / 100,
    "10": np.arange(1, 11) / 10,  # HDMapNet and its heirs leave recall 0 out
}


def rank(scores: NDArray, ascending: bool = False) -> NDArray:
    """Order of (N,) scores, best first (or worst first), equal scores in the order given."""
    return np.argsort(scores if ascending else -scores, kind="stable")


def average_precision(hits: NDArray, num_targets: int, mode: APMode = "area") -> float:
    """AP of predictions ranked best first.

    ``area`` is the area under the interpolated precision-recall curve (every precision replaced by the best
    at that recall or beyond), ``11``, ``101`` and ``10`` the mean of that curve at recalls 0, 0.1, ... 1;
    0, 0.01, ... 1; and 0.1, 0.2, ... 1.

    Args:
        hits: (N,) bool, best prediction first.
        num_targets: how many targets there are.
        mode: how the curve becomes a number.

    Returns:
        AP in [0, 1]; 0 without predictions; NaN without targets.
    """
    if num_targets <= 0:
        return float("nan")
    at = np.flatnonzero(hits)
    # Precision falls between hits, so the curve's envelope is decided at the hits alone.
    found = np.arange(1, len(at) + 1, dtype=float)
    precision = found / (at + 1.0)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if mode == "area":
        return float(envelope.sum() / num_targets)
    first = np.searchsorted(found / num_targets, _levels(mode), side="left")
    return float(np.append(envelope, 0.0)[first].mean())


def drawn_average_precision(
    hits: NDArray, units: NDArray, weights: NDArray, num_targets: NDArray, mode: APMode = "area"
) -> NDArray:
    """AP of many weightings of the same ranked predictions, as if each were there ``weight`` times.

    Args:
        hits: (N, T) bool, best prediction first, T thresholds.
        units: (N,) int64, the unit (scene) of each prediction.
        weights: (U, R) float64, how often each unit was drawn.
        num_targets: (R,) targets under each weighting.
        mode: as for :func:`average_precision`.

    Returns:
        (R, T) AP; NaN where there are no targets.
    """
    aps = np.zeros((weights.shape[1], hits.shape[1]))
    at = np.flatnonzero(hits.any(1))
    if len(at):
        # Between two hits only the number of predictions per unit matters: one sparse product counts them all.
        used = np.arange(at[-1] + 1)
        counts = sparse.coo_matrix(
            (np.ones(len(used)), (np.searchsorted(at, used), units[used])), shape=(len(at), len(weights))
        ).tocsr()
        columns = [(rows := np.flatnonzero(hits[at, column]), units[at[rows]]) for column in range(hits.shape[1])]
        for draw, drawn in enumerate(np.ascontiguousarray(weights.T)):  # one at a time stays within the cache
            ranked = np.maximum(np.cumsum(counts @ drawn), 1.0)  # (H,)
            for column, (rows, its_units) in enumerate(columns):
                aps[draw, column] = _drawn(drawn[its_units], ranked[rows], num_targets[draw], mode)
    aps[num_targets <= 0] = np.nan
    return aps


def _drawn(gained: NDArray, ranked: NDArray, num_targets: float, mode: APMode) -> float:
    """AP from the weight (H,) gained at each hit and the predictions (H,) ranked up to it."""
    found = np.cumsum(gained)
    envelope = np.maximum.accumulate((found / ranked)[::-1])[::-1]
    divisor = max(num_targets, 1.0)
    if mode == "area":
        return float((gained * envelope).sum() / divisor)
    first = np.searchsorted(found / divisor, _levels(mode), side="left")
    return float(np.append(envelope, 0.0)[first].mean())


def _levels(mode: str) -> NDArray:
    if mode not in RECALL_LEVELS:
        raise ValueError(f"unknown AP mode {mode!r}; choose area, 11, 101 or 10")
    return RECALL_LEVELS[mode]
