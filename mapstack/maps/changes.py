"""MapChange: one difference between today's map and an aged one; lists of them as JSON."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from mapstack.errors import DataError
from mapstack.geometry.polyline import length_m

from .geojson import read_json

__all__ = ["CONTRADICTED", "OPERATIONS", "ChangeIndex", "MapChange", "read_changes", "write_changes"]

OPERATIONS = ("removed", "added", "shifted", "relaned", "moved", "reshaped", "uncovered")
# What an aged map shows that is no longer there; of "removed" it shows nothing, of "uncovered" it claims nothing.
CONTRADICTED = ("added", "shifted", "relaned", "moved", "reshaped")
FORMAT_VERSION = 1
DECIMALS = 4
TOLERANCE_M = 0.4  # a piece of an aged map lies on the changed line itself, but for the noise of its vertices
CONTRADICTED_M = 2.0  # so much of a piece (or half of a shorter one) on changed lines makes it one that is wrong


@dataclass(frozen=True)
class MapChange:
    """What was done to one element, seen from today's map to the aged one.

    Args:
        operation: of :data:`OPERATIONS`. "removed": stands today, the aged map lacks it. "added": the aged map shows
            it, it is gone today. "shifted", "relaned" (one line for two, since the lanes were painted anew), "moved" (a
            crossing), "reshaped" (a stretch of the boundary) show it elsewhere. "uncovered": a tile that the aged map
            does not cover.
        name: class of the element, of :data:`mapstack.maps.CLASSES`; empty for "uncovered".
        token: of the element.
        tile: number of the tile of ground that it was drawn by.
        before: polylines (n, 2) of today's map, world metres; empty for "added".
        after: polylines (n, 2) as the aged map shows them, world metres; empty for "removed" and "uncovered".
        metres: how far it was moved; 0 where that says nothing.
    """

    operation: str
    name: str
    token: str
    tile: tuple[int, int]
    before: tuple[NDArray, ...] = ()
    after: tuple[NDArray, ...] = ()
    metres: float = 0.0

    def __post_init__(self) -> None:
        if self.operation not in OPERATIONS:
            raise ValueError(f"unknown operation {self.operation!r}; choose one of {', '.join(OPERATIONS)}")


class ChangeIndex:
    """Tells which pieces of an aged map show what is no longer there.

    Args:
        changes: of that map.
    """

    def __init__(self, changes: Sequence[MapChange]) -> None:
        self.changes = [change for change in changes if change.operation in CONTRADICTED]
        lines = [(i, line) for i, change in enumerate(self.changes) for line in change.after]
        self._owners = np.array([i for i, _ in lines], dtype=np.int64)
        self._strips = shapely.buffer([shapely.linestrings(line) for _, line in lines], TOLERANCE_M)
        self._tree = shapely.STRtree(self._strips)

    def overlaps(self, lines: Sequence[NDArray], names: Sequence[str]) -> tuple[NDArray, NDArray, NDArray]:
        """Pairs of a piece and a change of its class that it lies on.

        Args:
            lines: N arrays (n_i, >= 2), world metres.
            names: N classes of :data:`mapstack.maps.CLASSES`.

        Returns:
            (M,) piece, (M,) index into ``changes``, (M,) metres of the piece on the change.
        """
        if not len(lines) or not len(self._owners):
            nothing = np.zeros(0, np.int64)
            return nothing, nothing, np.zeros(0)
        shapes = np.array([shapely.linestrings(line[:, :2]) for line in lines], dtype=object)
        piece, strip = self._tree.query(shapes, predicate="intersects")
        owner = self._owners[strip]
        alike = np.array([self.changes[k].name == names[i] for i, k in zip(piece, owner, strict=True)], dtype=bool)
        piece, owner, strip = piece[alike], owner[alike], strip[alike]
        return piece, owner, shapely.length(shapely.intersection(shapes[piece], self._strips[strip]))

    def contradicted(self, lines: Sequence[NDArray], names: Sequence[str]) -> NDArray:
        """(N,) bool: which pieces are wrong: on changed lines by 2 m, or by half of their length."""
        piece, _, metres = self.overlaps(lines, names)
        total = np.bincount(piece, metres, minlength=len(lines))
        length = np.array([length_m(line) for line in lines])
        return (total > 0) & (total >= np.minimum(CONTRADICTED_M, length / 2))


def write_changes(path: str | Path, changes: Sequence[MapChange]) -> None:
    """Write a list of changes, whole or not at all."""
    path = Path(path)
    rows = [
        {
            **vars(change),
            "tile": list(change.tile),
            "before": [np.round(line, DECIMALS).tolist() for line in change.before],
            "after": [np.round(line, DECIMALS).tolist() for line in change.after],
        }
        for change in changes
    ]
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps({"version": FORMAT_VERSION, "changes": rows}, allow_nan=False), encoding="utf-8")
    os.replace(partial, path)


def read_changes(path: str | Path) -> list[MapChange]:
    """Read what :func:`write_changes` wrote.

    Raises:
        DataError: the file is missing, of another version, or a row is damaged.
    """
    path = Path(path)
    content = read_json(path)
    if not isinstance(content, dict) or content.get("version") != FORMAT_VERSION:
        raise DataError(f"{path} is no list of changes of version {FORMAT_VERSION}; age the map again")
    try:
        return [
            MapChange(
                **{
                    **row,
                    "tile": tuple(row["tile"]),
                    "before": tuple(np.array(line, dtype=np.float64).reshape(-1, 2) for line in row["before"]),
                    "after": tuple(np.array(line, dtype=np.float64).reshape(-1, 2) for line in row["after"]),
                }
            )
            for row in content["changes"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: a change is damaged ({error!r}); age the map again") from error
