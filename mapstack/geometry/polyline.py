"""Ragged polylines to fixed point counts, and the point orders that describe the same element; vectorised NumPy."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["equivalent_orders", "is_closed", "length_m", "resample"]

CLOSED_TOLERANCE_M = 1e-6


def is_closed(vertices: NDArray) -> bool:
    """Whether (n, D) vertices end where they begin and enclose something (n >= 4)."""
    return len(vertices) >= 4 and bool(np.abs(vertices[0] - vertices[-1]).max() <= CLOSED_TOLERANCE_M)


def length_m(vertices: NDArray) -> float:
    """Length in the xy plane of (n, >= 2) vertices."""
    return float(np.linalg.norm(np.diff(vertices[:, :2], axis=0), axis=1).sum())


def resample(polylines: Sequence[NDArray], num_points: int) -> NDArray:
    """Points at equal arc length along each polyline, both ends included.

    Arc length is measured in xy, as the field's extractors do; further coordinates are interpolated along it.

    Args:
        polylines: N arrays (n_i, D), n_i >= 1, all of one D >= 2; a closed element repeats its first vertex.
        num_points: P >= 2.

    Returns:
        (N, P, D) float64; (0, P, 2) for no polyline. A polyline without length gives its point P times.
    """
    if num_points < 2:
        raise ValueError(f"num_points must be at least 2, got {num_points}")
    if not len(polylines):
        return np.zeros((0, num_points, 2))
    counts = np.array([len(line) for line in polylines])
    if counts.min() < 1:
        raise ValueError(f"polyline {int(counts.argmin())} has no vertex")
    vertices = np.concatenate(polylines).astype(np.float64)  # (sum n_i, D)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    step = np.zeros(len(vertices))
    step[1:] = np.linalg.norm(np.diff(vertices[:, :2], axis=0), axis=1)
    step[starts] = 0.0
    total = np.cumsum(step)
    arc = total - np.repeat(total[starts], counts)  # from each polyline's own start
    lengths = arc[starts + counts - 1]
    # One search for all: polyline i occupies [offset_i, offset_i + length_i], with a gap of 1 m in between.
    offsets = np.concatenate([[0.0], np.cumsum(lengths + 1.0)[:-1]])
    wanted = lengths[:, None] * np.linspace(0.0, 1.0, num_points)  # (N, P)
    right = np.searchsorted(arc + np.repeat(offsets, counts), wanted + offsets[:, None], side="left")
    right = np.clip(right, (starts + (counts > 1))[:, None], (starts + counts - 1)[:, None])
    left = np.maximum(right - 1, starts[:, None])
    span = arc[right] - arc[left]
    weight = np.where(span > 0, (wanted - arc[left]) / np.where(span > 0, span, 1.0), 0.0)
    weight = np.clip(weight, 0.0, 1.0)[..., None]
    points = vertices[left] * (1.0 - weight) + vertices[right] * weight
    points[:, -1] = vertices[starts + counts - 1]
    return points


def equivalent_orders(num_points: int, closed: bool, directed: bool = False) -> NDArray:
    """Point indices of every order that describes the same element (MapTR, section 3.2).

    An open element has its two directions. A closed one, whose last point repeats the first, has the
    2 (P - 1) rotations of its P - 1 distinct points in both directions, each closed again.

    Args:
        num_points: P.
        closed: whether point P - 1 repeats point 0.
        directed: only the given direction counts (centerlines).

    Returns:
        (K, P) int64; K = 2 open, 2 (P - 1) closed, half of it when directed. Row 0 is the identity.
    """
    index = np.arange(num_points)
    if not closed:
        return np.stack([index] if directed else [index, index[::-1]])
    distinct = num_points - 1
    rolled = (np.arange(distinct)[:, None] + np.arange(num_points)) % distinct  # (P - 1, P)
    return rolled if directed else np.concatenate([rolled, rolled[:, ::-1]])
