"""Cut many polylines to the rectangle of a pose at once.

shapely's ``clip_by_rect`` is not used on lines: it drops z, breaks a ring at its first vertex, and wants all of a ring
that may be as large as a city. Here a spatial index finds the stretches near the patch, and one vectorised Liang-Barsky
pass cuts them; a test holds it against shapely.
"""

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from mapstack.geometry.se3 import invert

__all__ = ["LineIndex", "Piece", "patch_in_world"]

RUN_SEGMENTS = 16  # a stretch under one box of the tree: small boxes miss less, many boxes cost more to look up
MIN_PIECE_M = 1e-3  # what touches the patch in a point or is shorter than a map's own rounding is no element

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Piece:
    """A connected part of one line inside the rectangle.

    Args:
        vertices: (n, 2 or 3), in the rectangle's frame; a closed piece repeats its first vertex.
        line: index of the line that it is part of.
        closed: the line is a ring, all of it inside.
    """

    vertices: NDArray
    line: int
    closed: bool


def patch_in_world(world_from_ego: NDArray, box: Box) -> shapely.Polygon:
    """The rectangle ``box`` (x_min, y_min, x_max, y_max; ego metres) in the world's xy plane."""
    x_min, y_min, x_max, y_max = box
    corners = np.array([[x_min, y_min], [x_max, y_min], [x_max, y_max], [x_min, y_max]])
    return shapely.polygons(corners @ world_from_ego[:2, :2].T + world_from_ego[:2, 3])


class LineIndex:
    """N polylines as one vertex array, cut into short runs of segments under one tree.

    Args:
        lines: (N,) shapely LineStrings, world metres; a closed one is a ring.
    """

    def __init__(self, lines: NDArray) -> None:
        self.has_z = bool(len(lines)) and bool(shapely.has_z(lines).all())
        coords, line = shapely.get_coordinates(lines, include_z=self.has_z, return_index=True)
        fresh = np.ones(len(coords), dtype=bool)
        fresh[1:] = (line[1:] != line[:-1]) | (coords[1:, :2] != coords[:-1, :2]).any(1)
        self.coords, line = coords[fresh], line[fresh]
        counts = np.bincount(line, minlength=len(lines))
        first = np.cumsum(counts) - counts
        self.segments = np.flatnonzero(line[1:] == line[:-1])  # index of each segment's first vertex
        self.line_of_segment = line[self.segments]
        segment_counts = np.maximum(counts - 1, 0)
        self.first_segment = np.cumsum(segment_counts) - segment_counts
        self.last_segment = self.first_segment + segment_counts - 1
        self.is_ring = np.array(
            [
                n >= 4 and bool((self.coords[f] == self.coords[f + n - 1]).all())
                for f, n in zip(first, counts, strict=True)
            ],
            dtype=bool,
        )
        self._plant()

    def _plant(self) -> None:
        """Box every run of :data:`RUN_SEGMENTS` segments of a line."""
        number = np.arange(len(self.segments))
        within = number - self.first_segment[self.line_of_segment]
        self.run_start = np.flatnonzero(within % RUN_SEGMENTS == 0)
        self.run_count = np.diff(np.append(self.run_start, len(self.segments)))
        boxes = np.zeros(0, dtype=object)
        if len(self.segments):
            start, end = self.coords[self.segments, :2], self.coords[self.segments + 1, :2]
            low = np.minimum.reduceat(np.minimum(start, end), self.run_start)
            high = np.maximum.reduceat(np.maximum(start, end), self.run_start)
            boxes = shapely.box(low[:, 0], low[:, 1], high[:, 0], high[:, 1])
        self.tree = shapely.STRtree(boxes)

    def near(self, patch: shapely.Polygon) -> NDArray:
        """Numbers of the segments whose run's box meets the patch, ascending."""
        runs = np.sort(self.tree.query(patch, predicate="intersects"))
        counts = self.run_count[runs]
        skip = np.cumsum(counts) - counts
        return np.arange(counts.sum()) + np.repeat(self.run_start[runs] - skip, counts)

    def clip(self, world_from_ego: NDArray, box: Box, patch: shapely.Polygon | None = None) -> list[Piece]:
        """The parts of all lines inside ``box``.

        Args:
            world_from_ego: (4, 4), a rotation about z and a translation.
            box: (x_min, y_min, x_max, y_max), ego metres, closed.
            patch: :func:`patch_in_world` of the two, where the caller has it already.

        Returns:
            Pieces in the order of the lines, ego metres, z relative to the ego and interpolated where a line is cut.
        """
        number = self.near(patch_in_world(world_from_ego, box) if patch is None else patch)
        if not len(number):
            return []
        dims = self.coords.shape[1]
        ego_from_world = invert(world_from_ego)
        rotation, translation = ego_from_world[:dims, :dims], ego_from_world[:dims, 3]
        start = self.coords[self.segments[number]] @ rotation.T + translation
        end = self.coords[self.segments[number] + 1] @ rotation.T + translation
        enter, leave = _inside(start[:, :2], end[:, :2], box)
        seen = enter < leave
        return self._assemble(number[seen], start[seen], end[seen], enter[seen], leave[seen], box)

    def _assemble(
        self, number: NDArray, start: NDArray, end: NDArray, enter: NDArray, leave: NDArray, box: Box
    ) -> list[Piece]:
        """String cut segments together where one goes on from the vertex where the last one ended."""
        if not len(number):
            return []
        lines = self.line_of_segment[number]
        joined = (np.diff(number) == 1) & (lines[1:] == lines[:-1]) & (leave[:-1] == 1.0) & (enter[1:] == 0.0)
        heads = np.flatnonzero(np.append(True, ~joined))
        tails = np.append(heads[1:], len(number)) - 1
        first = np.where(enter[:, None] == 0.0, start, start + enter[:, None] * (end - start))
        last = np.where(leave[:, None] == 1.0, end, start + leave[:, None] * (end - start))
        for points in (first, last):  # rounding may leave a cut 1e-15 outside
            np.minimum(np.maximum(points[:, :2], box[:2], out=points[:, :2]), box[2:], out=points[:, :2])
        length = np.add.reduceat(np.abs(last[:, :2] - first[:, :2]).sum(1), heads)
        pieces = [
            Piece(np.concatenate([first[head : head + 1], last[head : tail + 1]]), line, False)
            for head, tail, line in zip(heads.tolist(), tails.tolist(), lines[heads].tolist(), strict=True)
        ]
        opens = (number[heads] == self.first_segment[lines[heads]]) & (enter[heads] == 0.0)
        closes = (number[tails] == self.last_segment[lines[tails]]) & (leave[tails] == 1.0)
        ring = self.is_ring[lines[heads]]
        mended, across = _mend_rings(pieces, ring & opens, ring & closes)
        return [piece for piece, keep in zip(mended, across | (length > MIN_PIECE_M), strict=True) if piece and keep]


def _mend_rings(pieces: list[Piece], opens: NDArray, closes: NDArray) -> tuple[list[Piece | None], NDArray]:
    """Close rings that are all inside, and join the two ends of a cut ring across its first vertex.

    Args:
        pieces: in line order.
        opens: (n,) bool, the piece begins at the first vertex of a ring.
        closes: (n,) bool, the piece ends there.

    Returns:
        The pieces, None in place of one that was joined to another, and (n,) bool: which were joined.
    """
    mended: list[Piece | None] = list(pieces)
    joined = np.zeros(len(pieces), dtype=bool)
    start_of: dict[int, int] = {}  # line -> number of the piece that begins at the ring's first vertex
    for i in np.flatnonzero(opens | closes).tolist():
        piece = pieces[i]
        if opens[i] and closes[i]:
            mended[i] = Piece(piece.vertices, piece.line, True)
        elif opens[i]:
            start_of[piece.line] = i
        elif piece.line in start_of:
            first = start_of[piece.line]
            merged = np.concatenate([piece.vertices, pieces[first].vertices[1:]])
            mended[first], mended[i], joined[first] = Piece(merged, piece.line, False), None, True
    return mended, joined


def _inside(start: NDArray, end: NDArray, box: Box) -> tuple[NDArray, NDArray]:
    """Liang-Barsky: the parameters between which (M, 2) segments are in the box; ``enter >= leave`` where nowhere."""
    low, high = np.array(box[:2]), np.array(box[2:])
    step = end - start
    with np.errstate(divide="ignore", invalid="ignore"):
        to_low, to_high = (low - start) / step, (high - start) / step
    near, far = np.minimum(to_low, to_high), np.maximum(to_low, to_high)
    beside = (step == 0) & ((start < low) | (start > high))
    near = np.where(step == 0, -np.inf, near)
    far = np.where(step == 0, np.inf, far)
    enter = np.maximum(near.max(1), 0.0)
    leave = np.minimum(far.min(1), 1.0)
    # A vertex on the border must end one segment and begin the next exactly, whatever the division rounds to.
    enter = np.where(((start >= low) & (start <= high)).all(1), 0.0, enter)
    leave = np.where(((end >= low) & (end <= high)).all(1), 1.0, leave)
    return np.where(beside.any(1), 1.0, enter), np.where(beside.any(1), 0.0, leave)
