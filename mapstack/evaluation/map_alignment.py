"""How much of a satellite pose's error the map takes away: a drive, with simulated detections of its true lines."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import shapely
from numpy.typing import NDArray

from mapstack.geometry.gnss import GnssNoise, apply_gnss_errors, draw_gnss_errors
from mapstack.geometry.grid import BEVGrid
from mapstack.geometry.odometry import OdometryNoise, simulate_odometry
from mapstack.geometry.pose_graph import GraphNoise, fuse_with_odometry
from mapstack.geometry.registration import Alignment, LineField, RegistrationOptions, align_to_lines
from mapstack.geometry.se3 import invert, make_transform, planar_pose, rotation_z
from mapstack.maps import VectorMap
from mapstack.maps.detections import DetectionNoise, simulate_detections
from mapstack.maps.prior_lines import PriorLines

__all__ = ["AlignmentTrial", "align_drive", "planar_errors"]

MARGIN_SIGMAS = 4.0  # the map is cut this much wider than what is seen
# A street map has middles of streets and no widths: the edges of all streets are tried at each of these widths.
STREET_WIDTHS_M = (6.0, 8.0, 10.0, 12.5, 15.0, 18.0)
STREET_POINT_M, STREET_OUTLIER_M = 1.0, 2.0  # how far off the best of them still are


@dataclass(frozen=True)
class AlignmentTrial:
    """What is tried.

    Args:
        sigma_m: of the reported place along x and y, at every instant.
        heading_deg: of the reported heading.
        classes: of the lines, names of :data:`mapstack.maps.CLASSES`; against streets boundaries alone are used.
        detections: what is wrong with the lines that the vehicle sees.
        odometry: what is wrong with its odometry.
        range_m: length and width of what it sees.
        window: frames of the pose graph that joins the aligned poses by odometry, each frame the last of its own.
    """

    sigma_m: float = 2.0
    heading_deg: float = 2.0
    classes: tuple[str, ...] = ("divider", "boundary")
    detections: DetectionNoise = field(default_factory=DetectionNoise)
    odometry: OdometryNoise = field(default_factory=OdometryNoise)
    range_m: tuple[float, float] = (60.0, 30.0)
    window: int = 15


def align_drive(
    vector_map: VectorMap,
    world_from_ego: NDArray,
    times_s: NDArray,
    trial: AlignmentTrial,
    seed: int = 0,
    streets: PriorLines | None = None,
) -> dict[str, NDArray]:
    """Reported, aligned and fused poses of a drive.

    Args:
        vector_map: the map, taken to be true.
        world_from_ego: (N, 4, 4) true poses; only their planar part is used.
        times_s: (N,) seconds.
        trial: what is tried.
        seed: of all noise.
        streets: a street map to align to in place of ``vector_map``, which the detections still come from.

    Returns:
        ``true``, ``reported``, ``aligned`` (each frame by itself) and ``fused``, (N, 4, 4) each.
    """
    rng = np.random.default_rng(seed)
    true = np.stack([planar_pose(pose) for pose in world_from_ego])
    noise = GnssNoise.stationary(trial.sigma_m, trial.heading_deg)
    reported = apply_gnss_errors(true, draw_gnss_errors(times_s, noise, rng))
    odometry = simulate_odometry(true, times_s, trial.odometry, rng)
    options = RegistrationOptions(prior_m=trial.sigma_m, prior_rad=float(np.radians(trial.heading_deg)))
    classes = trial.classes
    if streets is not None:
        classes = ("boundary",)
        options = replace(options, point_m=STREET_POINT_M, outlier_m=STREET_OUTLIER_M)
    seen, known = (_grid(trial.range_m, margin) for margin in (0.0, MARGIN_SIGMAS * trial.sigma_m))
    aligned, covariances = np.empty_like(reported), np.empty((len(reported), 3, 3))
    for i, (pose, report) in enumerate(zip(true, reported, strict=True)):
        patch = vector_map.crop(pose, seen, classes=classes)
        points, labels = simulate_detections(patch, trial.detections, rng)
        if streets is None:
            around = vector_map.crop(report, known, classes=classes)
            found = align_to_lines(points, labels, LineField(around.vertices, around.labels), options)
        else:
            found = _align_to_streets(points, labels, streets.crop(report, known).vertices, options)
        x, y, yaw = found.pose
        covariances[i] = found.covariance
        aligned[i] = report @ make_transform(rotation_z(yaw), np.array([x, y, 0.0]))
    # Each alignment knows how sure it is, and in which direction, but nothing of a street map's own error.
    sure = streets is None
    spread_m, spread_rad = (0.3, np.radians(0.3)) if sure else (0.5, np.radians(0.5))
    graph = GraphNoise(spread_m, spread_rad, relative_m=0.1, relative_rad=0.005, huber=1.0)
    fused = fuse_with_odometry(aligned, odometry, graph, trial.window, "last", covariances if sure else None)
    return {"true": true, "reported": reported, "aligned": aligned, "fused": fused}


def _align_to_streets(
    points: NDArray, labels: NDArray, middles: Sequence[NDArray], options: RegistrationOptions
) -> Alignment:
    """Align boundaries (label 0) to the edges of streets, all as wide as fits best."""
    lines = np.array([shapely.LineString(line[:, :2]) for line in middles], dtype=object)
    tried = []
    for width_m in STREET_WIDTHS_M:
        # The edge of all streets together: where one meets another it is open, as a kerb is.
        surface = shapely.union_all(shapely.buffer(lines, width_m / 2, cap_style="flat"))
        rings = shapely.get_rings(shapely.get_parts(surface))
        vertices = [shapely.get_coordinates(ring) for ring in rings]
        field = LineField(vertices, np.zeros(len(vertices), np.int64))
        tried.append(align_to_lines(points, labels, field, options))
    return min(tried, key=lambda alignment: alignment.cost)


def planar_errors(found: NDArray, true: NDArray) -> NDArray:
    """(N, 4) of (N, 4, 4) planar poses: distance, along and across the true heading (m), heading (degrees)."""
    between = invert(true) @ found
    along, across = np.abs(between[:, 0, 3]), np.abs(between[:, 1, 3])
    heading = np.degrees(np.abs(np.arctan2(between[:, 1, 0], between[:, 0, 0])))
    return np.stack([np.hypot(along, across), along, across, heading], 1)


def _grid(range_m: Sequence[float], margin_m: float) -> BEVGrid:
    half_x, half_y = (np.ceil(side / 2 + margin_m) for side in range_m)
    return BEVGrid((-half_x, -half_y, -5.0, half_x, half_y, 3.0), 1.0)
