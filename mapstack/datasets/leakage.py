"""Leakage of a split: the share of validation frames that stand where training frames stood."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mapstack.datasets.index import Index
from mapstack.errors import DataError

__all__ = ["Leakage", "index_leakage", "measure_leakage", "shared_tokens"]


@dataclass(frozen=True)
class Leakage:
    """How many of the validation frames at one location, or of all, lie near a training frame."""

    location: str
    near: int
    total: int

    @property
    def share(self) -> float:
        """In [0, 1]; NaN where there is no validation frame."""
        return self.near / self.total if self.total else float("nan")


def measure_leakage(
    train_xy: NDArray, train_locations: NDArray, val_xy: NDArray, val_locations: NDArray, radius_m: float = 5.0
) -> list[Leakage]:
    """Count validation frames within ``radius_m`` of a training frame of the same location.

    Args:
        train_xy: (M, 2) world metres.
        train_locations: (M,) names; coordinates of different locations are not comparable.
        val_xy: (N, 2) world metres.
        val_locations: (N,) names.
        radius_m: the field uses 5 m.

    Returns:
        One entry per location that has validation frames, by name, and last the total, named "all".
    """
    entries = []
    for location in sorted(set(val_locations)):
        mine = val_xy[val_locations == location]
        theirs = train_xy[train_locations == location]
        distance = cKDTree(theirs).query(mine)[0] if len(theirs) else np.full(len(mine), np.inf)
        entries.append(Leakage(str(location), int((distance <= radius_m).sum()), len(mine)))
    total = Leakage("all", sum(entry.near for entry in entries), sum(entry.total for entry in entries))
    return [*entries, total]


def index_leakage(train: Index, val: Index, radius_m: float = 5.0) -> list[Leakage]:
    """:func:`measure_leakage` between two indexes of one data set."""
    if train.dataset != val.dataset:
        raise DataError(f"{train.path} is {train.dataset}, {val.path} is {val.dataset}: their worlds differ")
    sides = [(index.positions()[:, :2], np.array(index.column("location"), dtype=str)) for index in (train, val)]
    return measure_leakage(*sides[0], *sides[1], radius_m)


def shared_tokens(train: Index, val: Index) -> set[str]:
    """Tokens that stand in both indexes."""
    return set(train.column("token")) & set(val.column("token"))
