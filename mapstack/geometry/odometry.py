"""What wheels or a camera tell of a drive: each step nearly right, the sum of them adrift."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .se3 import invert, make_transform, rotation_z

__all__ = ["OdometryNoise", "simulate_odometry"]


@dataclass(frozen=True)
class OdometryNoise:
    """Standard deviations.

    Args:
        scale: of the factor that all distances of a drive are wrong by (tyre pressure, the scale of a camera).
        slip_m: of each step's translation, per root metre driven, along each axis.
        yaw_rad: of each step's turn, per root metre driven.
        yaw_drift_rad_s: of the turn rate that a drive's gyroscope reads while standing.
    """

    scale: float = 0.01
    slip_m: float = 0.02
    yaw_rad: float = 0.001
    yaw_drift_rad_s: float = 0.0005

    def __post_init__(self) -> None:
        if not all(0 <= value < float("inf") for value in vars(self).values()):
            raise ValueError(f"standard deviations are finite and not negative: {self}")


def simulate_odometry(
    world_from_body: NDArray, times_s: NDArray, noise: OdometryNoise, rng: np.random.Generator
) -> NDArray:
    """Dead reckoning along a drive.

    Args:
        world_from_body: (N, 4, 4) true poses in order of time.
        times_s: (N,) seconds.
        noise: how wrong.
        rng: seed it by the drive, so that the same drive has the same odometry wherever it is used.

    Returns:
        (N, 4, 4) float64 odom_from_body; the first is the identity.
    """
    scale, drift = 1 + noise.scale * rng.standard_normal(), noise.yaw_drift_rad_s * rng.standard_normal()
    steps = invert(world_from_body[:-1]) @ world_from_body[1:]
    lengths = np.linalg.norm(steps[:, :3, 3], axis=1)
    normal = rng.standard_normal((len(steps), 4)) * np.sqrt(lengths)[:, None]
    slips = noise.slip_m * normal[:, :3]
    turns = noise.yaw_rad * normal[:, 3] + drift * np.diff(times_s)
    odom_from_body = np.tile(np.eye(4), (len(world_from_body), 1, 1))
    for i, step in enumerate(steps):
        moved = scale * step[:3, 3] + slips[i]
        odom_from_body[i + 1] = odom_from_body[i] @ make_transform(step[:3, :3] @ rotation_z(turns[i]), moved)
    return odom_from_body
