"""Losing rings of the LiDAR while training: dirt on the sensor, or another sensor with fewer beams."""

import numpy as np
from numpy.typing import NDArray

from mapstack.errors import ConfigError
from mapstack.geometry.se3 import invert
from mapstack.registry import TRANSFORMS

from .bev import aug_from_ego
from .randomness import frame_generator

__all__ = ["DropRings", "ring_of"]

HDL_32E_DEG = (-30.67, 10.67)  # elevation of nuScenes' lowest and highest beam


@TRANSFORMS.register_module()
class DropRings:
    """Drop all points of some rings, the same ones in every sweep of the frame.

    A point's ring is told by its elevation above the sensor, since files of other makers than nuScenes' number them
    otherwise or not at all.

    Args:
        frame_prob: chance that a frame loses rings.
        max_fraction: of the rings that such a frame loses, at most; how many, and which, is drawn.
        num_rings: beams of the sensor.
        elevation_deg: of the lowest and of the highest beam.
    """

    def __init__(
        self,
        frame_prob: float = 0.5,
        max_fraction: float = 0.5,
        num_rings: int = 32,
        elevation_deg: tuple[float, float] = HDL_32E_DEG,
    ) -> None:
        if (
            not (0 <= frame_prob <= 1 and 0 <= max_fraction < 1)
            or num_rings < 2
            or elevation_deg[0] >= elevation_deg[1]
        ):
            raise ConfigError(
                f"DropRings wants frame_prob in [0, 1], max_fraction in [0, 1), 2 rings or more and rising elevations, "
                f"got {frame_prob}, {max_fraction}, {num_rings}, {elevation_deg}"
            )
        self.frame_prob, self.max_fraction = frame_prob, max_fraction
        self.num_rings, self.elevation_deg = num_rings, elevation_deg

    def __call__(self, results: dict) -> dict:
        """Drop them from ``points``.

        Raises:
            ConfigError: no LiDAR was loaded yet.
        """
        if "points" not in results:
            raise ConfigError("DropRings must stand after LoadLidar in the pipeline")
        generator = frame_generator(results, self)
        hit, fraction = generator.random(), generator.uniform(0, self.max_fraction)
        lost = generator.permutation(self.num_rings) < round(fraction * self.num_rings)  # (rings,) bool
        points = results["points"]
        if hit >= self.frame_prob or not lost.any() or not len(points):
            return results
        results["points"] = points[~lost[self._rings(results)]]
        return results

    def _rings(self, results: dict) -> NDArray:
        """(M,) ring of every point, each seen from where the sensor was in its sweep."""
        lidar, points = results["lidar"], results["points"]
        sweeps = [(0.0, lidar["ego_from_lidar"]), *((s["time_lag_s"], s["ego_from_sweep"]) for s in lidar["sweeps"])]
        lags = np.array([lag for lag, _ in sweeps], np.float32)
        sweep = np.abs(points[:, 4, None] - lags).argmin(1)
        rings = np.zeros(len(points), np.int64)
        for i in np.unique(sweep):
            sensor_from_aug = invert(aug_from_ego(results) @ sweeps[i][1])
            rings[sweep == i] = ring_of(points[sweep == i, :3], sensor_from_aug, self.num_rings, self.elevation_deg)
        return rings


def ring_of(points: NDArray, sensor_from_ego: NDArray, num_rings: int, elevation_deg: tuple[float, float]) -> NDArray:
    """(M,) int64 ring, lowest first, of (M, 3) ego points; beams are taken to be evenly spread."""
    x, y, z = (points @ sensor_from_ego[:3, :3].T + sensor_from_ego[:3, 3]).T
    low, high = np.deg2rad(elevation_deg)
    ring = (np.arctan2(z, np.hypot(x, y)) - low) / (high - low) * (num_rings - 1)
    return np.clip(np.rint(ring), 0, num_rings - 1).astype(np.int64)
