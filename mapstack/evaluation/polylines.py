"""Polylines of one side of many frames in flat arrays; whatever is computed for one depends on no other."""

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

__all__ = ["Polylines"]


@dataclass(frozen=True)
class Polylines:
    """N polylines, one after the other.

    Args:
        vertices: (M, 2 or 3) float64 ego metres, M the sum of ``counts``.
        counts: (N,) int64, vertices of each; at least 2.
    """

    vertices: NDArray
    counts: NDArray

    def __len__(self) -> int:
        return len(self.counts)

    @classmethod
    def join(cls, parts: list["Polylines"], dim: int) -> "Polylines":
        """All polylines of ``parts`` in order, cut to their first ``dim`` coordinates."""
        vertices = [part.vertices[:, :dim] for part in parts if len(part)]
        counts = [part.counts for part in parts]
        return cls(
            np.concatenate(vertices) if vertices else np.zeros((0, dim)),
            np.concatenate(counts) if counts else np.zeros(0, np.int64),
        )

    def where(self, mask: NDArray) -> "Polylines":
        """The polylines that (N,) bool ``mask`` names."""
        return Polylines(self.vertices[np.repeat(mask, self.counts)], self.counts[mask])

    @property
    def starts(self) -> NDArray:
        """(N,) index of each polyline's first vertex."""
        return np.cumsum(self.counts) - self.counts

    def _padded(self, rows: NDArray, width: int) -> NDArray:
        """(R, width, D): the polylines ``rows``, the last vertex repeated up to ``width``."""
        within = np.minimum(np.arange(width), self.counts[rows, None] - 1)
        return self.vertices[self.starts[rows, None] + within]

    def _buckets(self) -> list[tuple[NDArray, int]]:
        """Rows of like vertex count and the power of two that holds them, so that padding wastes at most half."""
        width = 2 ** np.ceil(np.log2(np.maximum(self.counts, 2))).astype(np.int64)
        return [(np.flatnonzero(width == w), int(w)) for w in np.unique(width)]

    def lengths_m(self) -> NDArray:
        """(N,) length in the xy plane."""
        lengths = np.zeros(len(self))
        for rows, width in self._buckets():
            lengths[rows] = _arc_m(self._padded(rows, width))[:, -1]
        return lengths

    def resampled(self, num_points: int, keep_sampled: bool = False) -> NDArray:
        """Points at equal arc length (measured in xy), both ends included.

        Args:
            num_points: P.
            keep_sampled: leave a polyline that already has P vertices as it is.

        Returns:
            (N, P, D) float64, a view of coordinate-first memory. A polyline without length gives its point P
            times. Coordinates that two neighbouring vertices share are kept to the bit, so parallel lines stay
            exactly parallel.
        """
        points = np.empty((self.vertices.shape[1], len(self), num_points))
        for rows, width in self._buckets():
            points[:, rows] = _resample_padded(self._padded(rows, width), num_points)
        if keep_sampled:
            rows = np.flatnonzero(self.counts == num_points)
            points[:, rows] = np.moveaxis(self._padded(rows, num_points), -1, 0)
        return np.moveaxis(points, 0, -1)

    def simplified(self, tolerance_m: float) -> "Polylines":
        """Douglas-Peucker in xy, topology kept, as shapely's ``simplify``."""
        if not len(self) or tolerance_m == 0:
            return self
        owner = np.repeat(np.arange(len(self)), self.counts)
        lines = shapely.simplify(shapely.linestrings(self.vertices, indices=owner), tolerance_m)
        vertices = shapely.get_coordinates(lines, include_z=self.vertices.shape[1] == 3)
        return Polylines(vertices, shapely.get_num_points(lines).astype(np.int64))

    def distance_to_ego_m(self) -> NDArray:
        """(N,) distance in xy from the ego origin to the nearest point of each polyline, between vertices too."""
        nearest = np.full(len(self), np.inf)
        for rows, width in self._buckets():
            line = self._padded(rows, width)[..., :2]
            (x, y), (dx, dy) = np.moveaxis(line[:, :-1], -1, 0), np.moveaxis(np.diff(line, axis=1), -1, 0)
            squared = np.maximum(dx**2 + dy**2, np.finfo(float).tiny)
            along = np.clip(-(x * dx + y * dy) / squared, 0.0, 1.0)
            nearest[rows] = np.sqrt((x + along * dx) ** 2 + (y + along * dy) ** 2).min(1)
        return nearest


def _arc_m(line: NDArray) -> NDArray:
    """(R, W) xy arc length up to each vertex of (R, W, D)."""
    step = np.diff(line[..., :2], axis=1)
    arc = np.zeros(line.shape[:2])
    np.cumsum(np.sqrt(step[..., 0] ** 2 + step[..., 1] ** 2), axis=1, out=arc[:, 1:])
    return arc


def _resample_padded(line: NDArray, num_points: int) -> NDArray:
    """(D, R, P) at equal arc length along (R, W, D), whose rows may end in repeated vertices."""
    rows, width, dim = line.shape
    arc = _arc_m(line)
    total = arc[:, -1:]
    span = np.diff(arc, axis=1)
    # The first sample strictly after each vertex; counting vertices per sample then replaces a search per sample.
    first_sample = np.floor(arc * ((num_points - 1) / np.where(total > 0, total, 1.0))).astype(np.int64) + 1
    slot = np.minimum(first_sample, num_points) + np.arange(rows)[:, None] * (num_points + 1)
    passed = np.bincount(slot.ravel(), minlength=rows * (num_points + 1)).reshape(rows, num_points + 1)
    segment = np.cumsum(passed[:, :num_points], axis=1) - 1  # (R, P), the vertex at or before each sample
    np.clip(segment, 0, width - 2, out=segment)
    segment += np.arange(rows)[:, None] * (width - 1)
    past = total * np.linspace(0.0, 1.0, num_points)  # metres beyond the vertex before
    past -= np.take(arc[:, :-1], segment, mode="clip")
    points = np.empty((dim, rows, num_points))
    for d in range(dim):
        slope = np.diff(line[..., d], axis=1) / np.where(span > 0, span, np.inf)
        np.take(slope, segment, mode="clip", out=points[d])
        points[d] *= past
        points[d] += np.take(line[:, :-1, d], segment, mode="clip")
    points[:, :, 0], points[:, :, -1] = line[:, 0].T, line[:, -1].T
    return points
