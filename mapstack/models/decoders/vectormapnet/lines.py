"""Truth of any length, many polylines at once: one way to write each down, and no vertex more than it needs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from mapstack.geometry.polyline import resample
from mapstack.structures import MapElements

__all__ = ["Lines", "canonical", "gather_lines", "simplify"]


@dataclass(frozen=True)
class Lines:
    """L polylines one after the other; L may be 0.

    Args:
        vertices: (M, 2) ego metres, float64.
        counts: (L,) int64 vertices of each, at least 2.
        closed: (L,) bool; the last vertex of such a one repeats its first.
        directed: (L,) bool; the given order is the only one.
    """

    vertices: NDArray
    counts: NDArray
    closed: NDArray
    directed: NDArray

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def starts(self) -> NDArray:
        """(L,) row of each polyline's first vertex."""
        return np.cumsum(self.counts) - self.counts

    @property
    def owners(self) -> NDArray:
        """(M,) the polyline of each vertex."""
        return np.repeat(np.arange(len(self)), self.counts)


def gather_lines(truth: Sequence[MapElements]) -> Lines:
    """All elements of several frames: their exact vertices in xy, or where there are none their sampled points.

    Raises:
        ValueError: the truth lacks ``closed`` or ``directed``.
    """
    if any(item.closed is None or item.directed is None for item in truth):
        raise ValueError("truth needs closed and directed; make it with MapElements.from_patch")
    lines = [
        line
        for item in truth
        for line in (item.points.detach().cpu().double().numpy() if item.vertices is None else item.vertices)
    ]
    flat = [np.asarray(line)[:, :2] for line in lines]
    return Lines(
        vertices=np.concatenate([np.zeros((0, 2)), *flat]).astype(np.float64),
        counts=np.array([len(line) for line in lines], dtype=np.int64),
        closed=np.concatenate([np.zeros(0, bool), *(item.closed.cpu().numpy() for item in truth)]),
        directed=np.concatenate([np.zeros(0, bool), *(item.directed.cpu().numpy() for item in truth)]),
    )


def canonical(lines: Lines) -> Lines:
    """The same elements, each in the one order that its equivalent orders share.

    An open element begins at the end with the smaller x + y, a closed one at the vertex with the smallest x + y and
    runs counter-clockwise; a directed one keeps its sense. (Of equal sums the smaller x counts. Roads mostly run along
    x or y, where x + y tells the ends apart most clearly.) A sequence model otherwise has to spread its probability
    over orders that mean the same.
    """
    if not len(lines):
        return lines
    starts, counts, owners = lines.starts, lines.counts, lines.owners
    x, y = lines.vertices.T
    local = np.arange(len(x)) - starts[owners]
    distinct = np.where(lines.closed, counts - 1, counts)
    candidate = np.where(lines.closed[owners], local < distinct[owners], (local == 0) | (local == distinct[owners] - 1))
    order = np.lexsort((x, x + y, ~candidate, owners))
    begin = local[order[starts]]  # the best candidate of each polyline
    turns = np.append(x[:-1] * y[1:] - x[1:] * y[:-1], 0.0)
    turns[starts + counts - 1] = 0.0  # no edge leads from one polyline to the next
    clockwise = np.add.reduceat(turns, starts) < 0
    back = np.where(lines.closed, clockwise, begin > 0) & ~lines.directed
    begin = np.where(lines.directed & ~lines.closed, 0, begin)
    step = np.where(back, -1, 1)[owners] * local
    row = starts[owners] + (begin[owners] + step) % distinct[owners]
    return Lines(lines.vertices[row], counts, lines.closed, lines.directed)


def simplify(lines: Lines, tolerance_m: float, max_vertices: int) -> Lines:
    """Leave out vertices that lie within a tolerance of the line without them (Douglas-Peucker).

    A polyline that still has too many gets vertices at equal distances along it instead: none is cut off.

    Args:
        lines: the polylines.
        tolerance_m: largest distance of a left-out vertex.
        max_vertices: at least 2.
    """
    if not len(lines):
        return lines
    kept = shapely.simplify(
        shapely.linestrings(lines.vertices, indices=lines.owners), tolerance_m, preserve_topology=False
    )
    over = np.flatnonzero(shapely.get_num_coordinates(kept) > max_vertices)
    if len(over):
        whole = np.split(lines.vertices, lines.starts[1:])
        kept[over] = shapely.linestrings(resample([whole[row] for row in over], max_vertices))
    counts = shapely.get_num_coordinates(kept).astype(np.int64)
    return Lines(shapely.get_coordinates(kept), counts, lines.closed, lines.directed)
