"""From a table of values per row and threshold to one number, and how sure that number is."""

from collections.abc import Sequence
from typing import Protocol as Interface

import numpy as np
from numpy.typing import NDArray

__all__ = ["Scorer", "bootstrap", "draws", "mean_of_rows", "summarise"]


class Scorer(Interface):
    """What the bootstrap asks of every kind of protocol."""

    rows: tuple[str, ...]
    columns: tuple[float, ...]

    def table(self, weights: NDArray | None = None) -> NDArray:
        """(rows, columns) values with unit u counted ``weights[u]`` times, once each by default."""


def mean_of_rows(table: NDArray) -> tuple[NDArray, float]:
    """Mean over thresholds per row, and over rows; NaN rows are left out, all NaN gives NaN."""
    rows = table.mean(axis=1)
    present = rows[~np.isnan(rows)]
    return rows, float(present.mean()) if len(present) else float("nan")


def summarise(scorer: Scorer, weights: NDArray | None = None) -> NDArray:
    """(rows + 1,) mean over thresholds of each row, and the total at the end."""
    table = scorer.table(weights)
    total = getattr(scorer, "total", None)
    rows, mean = mean_of_rows(table)
    return np.append(rows, total(table) if total else mean)


def draws(num_units: int, replicates: int, seed: int) -> NDArray:
    """(R, U) float64: how often each unit is drawn when U units are drawn with replacement, R times."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(num_units, np.full(num_units, 1.0 / num_units), size=replicates).astype(float)


def bootstrap(scorers: Sequence[Scorer], num_units: int, replicates: int, seed: int) -> NDArray:
    """Resample units, the same ones for every scorer.

    Returns:
        (S, R, rows + 1) values as :func:`summarise` orders them; R is 0 where there are fewer than two units.
    """
    if num_units < 2:
        replicates = 0
    weights = draws(num_units, replicates, seed) if replicates else np.zeros((0, num_units))
    values = [[summarise(scorer, row) for row in weights] for scorer in scorers]
    return np.array(values).reshape(len(scorers), replicates, -1)
