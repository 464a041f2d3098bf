"""Chains of circular arcs and straight lines: offset exactly, and stored in nuScenes as arcline paths without loss."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["Curve", "biarc", "through"]

STRAIGHT_PER_M = 1e-7
CHORD_ERROR_M = 0.015


@dataclass(frozen=True)
class Curve:
    """A path of constant-curvature pieces whose heading is continuous.

    Args:
        start: (x, y, yaw) of the first point, world metres and radians.
        lengths: (S,) metres of each piece.
        curvatures: (S,) 1/m of each piece, positive to the left.
    """

    start: tuple[float, float, float]
    lengths: NDArray
    curvatures: NDArray

    @cached_property
    def joints(self) -> NDArray:
        """(S + 1, 3) poses (x, y, yaw) at the ends of the pieces."""
        poses = [np.asarray(self.start, float)]
        for length, curvature in zip(self.lengths, self.curvatures, strict=True):
            poses.append(_advance(poses[-1][None], np.array([length]), np.array([curvature]))[0])
        return np.array(poses)

    @cached_property
    def knots(self) -> NDArray:
        """(S + 1,) arc length at the joints."""
        return np.concatenate([[0.0], np.cumsum(self.lengths)])

    @property
    def length(self) -> float:
        """Metres from start to end."""
        return float(self.knots[-1])

    def poses(self, at_m: NDArray) -> NDArray:
        """(M, 3) poses (x, y, yaw) at (M,) arc lengths; beyond the ends the first and last piece go on."""
        at_m = np.asarray(at_m, float)
        piece = np.clip(np.searchsorted(self.knots, at_m, side="right") - 1, 0, len(self.lengths) - 1)
        return _advance(self.joints[piece], at_m - self.knots[piece], self.curvatures[piece])

    def offset(self, left_m: float) -> "Curve":
        """The parallel curve ``left_m`` to the left, piece by piece; radii stay positive for a sane offset."""
        x, y, yaw = self.start
        scale = 1.0 - self.curvatures * left_m
        start = (x - left_m * np.sin(yaw), y + left_m * np.cos(yaw), yaw)
        return Curve(start, self.lengths * scale, self.curvatures / scale)

    def reversed(self) -> "Curve":
        """The same points driven the other way."""
        x, y, yaw = self.joints[-1]
        return Curve((x, y, yaw + np.pi), self.lengths[::-1].copy(), -self.curvatures[::-1])

    def stations(self, start_m: float, end_m: float) -> NDArray:
        """Arc lengths that draw the part between two: joints, and on arcs so many that chords stay true to 1.5 cm."""
        inside = self.knots[(self.knots > start_m + 1e-6) & (self.knots < end_m - 1e-6)]
        edges = np.concatenate([[start_m], inside, [end_m]])
        stations = [edges[:1]]
        for low, high in zip(edges[:-1], edges[1:], strict=True):
            piece = np.clip(np.searchsorted(self.knots, (low + high) / 2) - 1, 0, len(self.lengths) - 1)
            step_m = np.sqrt(8.0 * CHORD_ERROR_M / max(abs(self.curvatures[piece]), STRAIGHT_PER_M))
            count = max(1, int(np.ceil((high - low) / step_m)))
            stations.append(np.linspace(low, high, count + 1)[1:])
        return np.concatenate(stations)

    def line(self, left_m: float = 0.0, start_m: float = 0.0, end_m: float | None = None) -> NDArray:
        """(n, 2) vertices of the parallel line ``left_m`` to the left between two arc lengths of this curve."""
        poses = self.poses(self.stations(start_m, self.length if end_m is None else end_m))
        normal = np.stack([-np.sin(poses[:, 2]), np.cos(poses[:, 2])], axis=1)
        return poses[:, :2] + left_m * normal


def _advance(poses: NDArray, distance: NDArray, curvature: NDArray) -> NDArray:
    """Move (M, 3) poses (M,) metres along (M,) curvatures."""
    turn = distance * curvature
    half = turn / 2.0
    chord = distance * np.sinc(half / np.pi)
    heading = poses[:, 2] + half
    return np.stack(
        [poses[:, 0] + chord * np.cos(heading), poses[:, 1] + chord * np.sin(heading), poses[:, 2] + turn], axis=1
    )


def _arc(start: NDArray, yaw: float, end: NDArray) -> tuple[float, float]:
    """Length and curvature of the arc from ``start`` with heading ``yaw`` to ``end``."""
    chord = end - start
    forward = np.array([np.cos(yaw), np.sin(yaw)])
    size = float(np.hypot(*chord))
    turn = 2.0 * np.arctan2(forward[0] * chord[1] - forward[1] * chord[0], forward @ chord)
    if abs(turn) < 1e-9:
        return size, 0.0
    length = size / np.sinc(turn / 2.0 / np.pi)
    return float(length), float(turn / length)


def biarc(start: tuple[float, float, float], end: tuple[float, float, float]) -> Curve:
    """Two arcs from pose to pose, tangents equally long (the usual choice, which keeps both radii alike)."""
    p0, p1 = np.asarray(start[:2], float), np.asarray(end[:2], float)
    t0 = np.array([np.cos(start[2]), np.sin(start[2])])
    t1 = np.array([np.cos(end[2]), np.sin(end[2])])
    gap, both = p1 - p0, t0 + t1
    denominator = 2.0 * (1.0 - t0 @ t1)
    if denominator < 1e-9:
        tangent_m = gap @ gap / (4.0 * max(gap @ t0, 1e-9))
    else:
        tangent_m = (-(gap @ both) + np.sqrt((gap @ both) ** 2 + denominator * (gap @ gap))) / denominator
    middle = (p0 + p1 + tangent_m * (t0 - t1)) / 2.0
    first = _arc(p0, start[2], middle)
    second = _arc(middle, start[2] + first[0] * first[1], p1)
    return Curve(tuple(map(float, start)), np.array([first[0], second[0]]), np.array([first[1], second[1]]))


def through(poses: list[tuple[float, float, float]]) -> Curve:
    """Biarcs through a list of poses."""
    parts = [biarc(a, b) for a, b in zip(poses[:-1], poses[1:], strict=True)]
    return Curve(
        parts[0].start, np.concatenate([p.lengths for p in parts]), np.concatenate([p.curvatures for p in parts])
    )
