"""Laying detected lines on a map: robust point-to-line least squares over (x, y, yaw), from several starts.

What a straight road cannot tell, the place along it, is left to the prior: a Gaussian about the pose in hand.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

__all__ = ["Alignment", "LineField", "RegistrationOptions", "align_to_lines", "planar_transform"]

SAMPLE_M = 0.25


@dataclass(frozen=True)
class RegistrationOptions:
    """How far to look, and whom to believe.

    Args:
        prior_m: standard deviation of the pose along x and y.
        prior_rad: standard deviation of its heading.
        point_m: standard deviation of a detected point across its line.
        correlation_m: points within this length of each other err together and count as one.
        outlier_m: distance at which a point counts a quarter, in the end; the search begins at ``widest_m``.
        widest_m: the same at the beginning.
        steps: Gauss-Newton steps while the one goes down to the other.
        start_sigmas: the search begins at 0 and at plus and minus so many prior deviations of x, y and yaw.
    """

    prior_m: float = 2.0
    prior_rad: float = 0.035
    point_m: float = 0.2
    correlation_m: float = 5.0
    outlier_m: float = 0.6
    widest_m: float = 3.0
    steps: int = 15
    start_sigmas: float = 1.25


@dataclass(frozen=True)
class Alignment:
    """The answer.

    Args:
        pose: (3,) x, y, yaw of ``map_from_detections``; what moves detections onto the map.
        covariance: (3, 3) of it; as wide as the prior where the lines say nothing.
        inliers: share of the detected points that lie on the map's lines.
        cost: half the sum of squared errors in standard deviations, the prior's included.
    """

    pose: NDArray
    covariance: NDArray
    inliers: float
    cost: float


class LineField:
    """A map's lines, sampled, with the nearest sample of a class to be asked for.

    Args:
        lines: polylines (n_i, >= 2), metres.
        labels: (N,) class of each.
    """

    def __init__(self, lines: list[NDArray], labels: NDArray) -> None:
        samples: dict[int, list[NDArray]] = {}
        for line, label in zip(lines, labels, strict=True):
            samples.setdefault(int(label), []).append(_sample(np.asarray(line, np.float64)[:, :2]))
        self.samples: Mapping[int, NDArray] = {label: np.concatenate(rows) for label, rows in samples.items()}
        self.trees = {label: cKDTree(rows[:, :2]) for label, rows in self.samples.items()}

    def nearest(self, points: NDArray, labels: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        """Of each of (M, 2) points: offset to the nearest line of its class (M, 2), that line's normal, the distance.

        A class that the map does not have is infinitely far.
        """
        offsets, normals = np.zeros((2, len(points), 2))
        distances = np.full(len(points), np.inf)
        for label, tree in self.trees.items():
            chosen = np.flatnonzero(labels == label)
            if len(chosen):
                distances[chosen], rows = tree.query(points[chosen])
                found = self.samples[label][rows]
                offsets[chosen], normals[chosen] = points[chosen] - found[:, :2], found[:, 2:]
        return offsets, normals, distances


def planar_transform(pose: NDArray) -> NDArray:
    """(3, 3) homogeneous transform of (3,) x, y, yaw."""
    cos, sin = np.cos(pose[2]), np.sin(pose[2])
    return np.array([[cos, -sin, pose[0]], [sin, cos, pose[1]], [0.0, 0.0, 1.0]])


def align_to_lines(
    points: NDArray, labels: NDArray, field: LineField, options: RegistrationOptions | None = None
) -> Alignment:
    """Find the small motion that lays detections on a map.

    The scale of what counts as an outlier shrinks while the search runs (graduated non-convexity), from each start; the
    answer is the end with the least cost. Without points, or without lines of their classes, it is the prior.

    Args:
        points: (M, 2) detected points, metres, spaced evenly along their lines.
        labels: (M,) their classes.
        field: the map, in the frame that the pose in hand would give the points.
        options: see there.
    """
    options = options or RegistrationOptions()
    points = np.asarray(points, np.float64)
    weight = _independent_share(points, options)
    sigmas = np.array([options.prior_m, options.prior_m, options.prior_rad])
    ends = []
    for start in product((0.0, -options.start_sigmas, options.start_sigmas), repeat=3):
        pose = np.array(start) * sigmas
        for scale_m in np.geomspace(options.widest_m, options.outlier_m, options.steps):
            step, *_ = _solve(pose, points, labels, field, scale_m, weight, options)
            pose = pose + step
        ends.append((_solve(pose, points, labels, field, options.outlier_m, weight, options), pose))
    (_, information, cost, inliers), pose = min(ends, key=lambda end: end[0][2])
    return Alignment(pose, np.linalg.inv(information), inliers, cost)


def _solve(
    pose: NDArray,
    points: NDArray,
    labels: NDArray,
    field: LineField,
    scale_m: float,
    weight: float,
    options: RegistrationOptions,
) -> tuple[NDArray, NDArray, float, float]:
    """One Gauss-Newton step from ``pose``, the information there, and cost and share of inliers before the step.

    Geman-McClure's weights, of the whole distance: beyond the end of a line a point is far, though on its straight on.
    """
    transform = planar_transform(pose)
    turned = points @ transform[:2, :2].T
    offsets, normals, distances = field.nearest(turned + pose[:2], labels)
    robust = (scale_m**2 / (scale_m**2 + distances**2)) ** 2
    precision = weight * robust / options.point_m**2  # 0 at infinity
    residuals = (offsets * normals).sum(1)
    tangents = np.stack([-turned[:, 1], turned[:, 0]], 1)
    jacobian = np.concatenate([normals, (normals * tangents).sum(1, keepdims=True)], 1)
    prior = np.diag([options.prior_m, options.prior_m, options.prior_rad]) ** 2
    prior_information = np.linalg.inv(prior)
    information = (jacobian * precision[:, None]).T @ jacobian + prior_information
    gradient = jacobian.T @ (precision * residuals) + prior_information @ pose
    # r^2 s^2 / (r^2 + s^2), which tends to s^2 for the outliers
    capped = scale_m**2 * (1 - scale_m**2 / (scale_m**2 + distances**2))
    cost = 0.5 * (weight * capped.sum() / options.point_m**2 + pose @ prior_information @ pose)
    inliers = float((distances < scale_m).mean()) if len(points) else 0.0
    return -np.linalg.solve(information, gradient), information, float(cost), inliers


def _independent_share(points: NDArray, options: RegistrationOptions) -> float:
    """Weight of one point: its share of a correlation length, by the median spacing of neighbours in the list."""
    if len(points) < 2:
        return 1.0
    spacing_m = float(np.median(np.linalg.norm(np.diff(points, axis=0), axis=1)))
    return min(1.0, spacing_m / options.correlation_m)


def _sample(line: NDArray) -> NDArray:
    """(S, 4) points at most SAMPLE_M apart and the unit normals of their segments."""
    along = np.diff(line, axis=0)
    lengths = np.linalg.norm(along, axis=1)
    along, begins, lengths = along[lengths > 0], line[:-1][lengths > 0], lengths[lengths > 0]
    if not len(along):
        return np.zeros((0, 4))
    counts = np.ceil(lengths / SAMPLE_M).astype(int) + 1
    owner = np.repeat(np.arange(len(along)), counts)
    rank = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    fraction = (rank / (counts - 1)[owner])[:, None]
    normals = np.stack([-along[:, 1], along[:, 0]], 1) / lengths[:, None]
    return np.concatenate([begins[owner] + fraction * along[owner], normals[owner]], 1)
