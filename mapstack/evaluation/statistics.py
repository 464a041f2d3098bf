"""From a table of values per row and threshold to one number, and how sure that number is."""

from collections.abc import Sequence
from typing import Protocol as Interface

import numpy as np
from numpy.typing import NDArray

__all__ = ["Scorer", "bootstrap", "draws", "mean_of_rows", "summarise"]


DRAWS_AT_ONCE = 50


class Scorer(Interface):
    """What the bootstrap asks of every kind of protocol."""

    rows: tuple[str, ...]
    columns: tuple[float, ...]

    def table(self) -> NDArray:
        """(rows, columns) values of the whole set."""

    def tables(self, weights: NDArray) -> NDArray:
        """(R, rows, columns) values with unit u counted ``weights[u, r]`` times."""

    def total(self, means: NDArray) -> NDArray:
        """(...,) the one number from (..., rows) means over thresholds."""


def mean_of_rows(means: NDArray) -> NDArray:
    """(...,) mean of (..., rows) values; NaN rows are left out, all NaN gives NaN."""
    present = ~np.isnan(means)
    count = present.sum(-1)
    return np.where(count > 0, np.where(present, means, 0.0).sum(-1) / np.maximum(count, 1), np.nan)


def summarise(scorer: Scorer, tables: NDArray) -> NDArray:
    """(..., rows + 1) mean over thresholds of each row of (..., rows, columns), and the total at the end."""
    means = tables.mean(-1)
    return np.concatenate([means, scorer.total(means)[..., None]], axis=-1)


def draws(num_units: int, replicates: int, seed: int) -> NDArray:
    """(U, R) float64: how often each unit is drawn when U units are drawn with replacement, R times."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(num_units, np.full(num_units, 1.0 / num_units), size=replicates).T.astype(float)


def bootstrap(scorers: Sequence[Scorer], num_units: int, replicates: int, seed: int) -> NDArray:
    """Resample units, the same ones for every scorer.

    Returns:
        (S, R, rows + 1) values as :func:`summarise` orders them; R is 0 where there are fewer than two units.
    """
    if num_units < 2 or not replicates:
        return np.zeros((len(scorers), 0, len(scorers[0].rows) + 1))
    weights = draws(num_units, replicates, seed)
    parts = [weights[:, at : at + DRAWS_AT_ONCE] for at in range(0, replicates, DRAWS_AT_ONCE)]
    return np.stack([np.concatenate([summarise(one, one.tables(part)) for part in parts]) for one in scorers])
