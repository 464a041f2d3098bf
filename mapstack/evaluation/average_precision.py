"""Average precision of pooled, ranked predictions, with weights for the bootstrap; pure NumPy."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["APMode", "average_precision", "rank"]

APMode = Literal["area", "11", "101", "10"]

RECALL_LEVELS: dict[str, NDArray] = {
    "11": np.arange(11) / 10,
    "101": np.arange(101) / 100,
    "10": np.arange(1, 11) / 10,  # HDMapNet and its heirs leave recall 0 out
}
ROUNDING = 1e-12


def rank(scores: NDArray, ascending: bool = False) -> NDArray:
    """Order of (N,) scores, best first (or worst first), equal scores in the order given."""
    return np.argsort(scores if ascending else -scores, kind="stable")


def average_precision(
    hits: NDArray, num_targets: float, mode: APMode = "area", weights: NDArray | None = None
) -> float:
    """AP of predictions ranked best first.

    ``area`` is the area under the interpolated precision-recall curve (every precision replaced by the best
    at that recall or beyond), ``11``, ``101`` and ``10`` the mean of that curve at recalls 0, 0.1, ... 1;
    0, 0.01, ... 1; and 0.1, 0.2, ... 1.

    Args:
        hits: (N,) bool, best prediction first.
        num_targets: how many targets there are, weighted as the predictions are.
        mode: how the curve becomes a number.
        weights: (N,) >= 0, how often each prediction counts.

    Returns:
        AP in [0, 1]; 0 without predictions; NaN without targets.
    """
    if num_targets <= 0:
        return float("nan")
    at = np.flatnonzero(hits)
    if weights is None:
        true_positives = np.arange(1, len(at) + 1, dtype=float)
        gained, ranked = np.ones(len(at)), at + 1.0
    else:
        gained = weights[at].astype(float)
        true_positives = np.cumsum(gained)
        ranked = np.cumsum(weights, dtype=float)[at]
    if not len(at) or not true_positives[-1] > 0:
        return 0.0
    # Precision falls between hits, so the curve's envelope is decided at the hits alone.
    precision = true_positives / np.maximum(ranked, 1.0)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if mode == "area":
        return float(np.dot(gained, envelope) / num_targets)
    if mode not in RECALL_LEVELS:
        raise ValueError(f"unknown AP mode {mode!r}; choose area, 11, 101 or 10")
    first = np.searchsorted(true_positives / num_targets, RECALL_LEVELS[mode] - ROUNDING, side="left")
    return float(np.append(envelope, 0.0)[first].mean())
