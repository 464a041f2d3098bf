"""How wrong a satellite position and a heading are over a drive: a slowly walking bias, white noise, nothing else.

The bias is the part that matters: neighbouring frames share it, so averaging does not remove it, and it is what
aligning with a map can find. Errors are planar, in world axes: metres along x and y, radians about the vertical.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .se3 import rotation_z

__all__ = ["ErrorProcess", "GnssNoise", "apply_gnss_errors", "draw_gnss_errors"]


@dataclass(frozen=True)
class ErrorProcess:
    """One error over time: white noise plus a bias that walks at random and is perhaps pulled back to zero.

    Args:
        white: standard deviation of the part that is new at every instant.
        bias: standard deviation of the bias at the first instant.
        walk: standard deviation that the bias gathers in one second, units per root second.
        relaxation_s: time in which the bias forgets; infinite is a free random walk, whose spread grows for ever.
    """

    white: float = 0.0
    bias: float = 0.0
    walk: float = 0.0
    relaxation_s: float = float("inf")

    def __post_init__(self) -> None:
        numbers = (self.white, self.bias, self.walk)
        if not (all(0 <= value < float("inf") for value in numbers) and self.relaxation_s > 0):
            raise ValueError(f"standard deviations are finite and not negative, relaxation_s is positive: {self}")

    @classmethod
    def stationary(cls, sigma: float, white_share: float = 0.1, relaxation_s: float = 60.0) -> "ErrorProcess":
        """The process whose error has standard deviation ``sigma`` at every instant of a drive, the first included.

        Args:
            sigma: of the whole error.
            white_share: part of its variance that is white.
            relaxation_s: of the bias, finite.
        """
        bias = sigma * (1 - white_share) ** 0.5
        return cls(sigma * white_share**0.5, bias, bias * (2 / relaxation_s) ** 0.5, relaxation_s)

    def draw(self, times_s: NDArray, rng: np.random.Generator, dims: int = 1) -> NDArray:
        """Errors at given instants, exact for any spacing of them.

        Args:
            times_s: (T,) seconds, not decreasing; T may be 0.
            rng: a longer ``times_s`` with the same beginning and seed gives the same beginning.
            dims: independent errors drawn at once.

        Returns:
            (T, dims) float64.
        """
        times_s = np.asarray(times_s, np.float64)
        if times_s.ndim != 1 or (np.diff(times_s) < 0).any():
            raise ValueError(f"times_s must be (T,) and not decrease, got {times_s}")
        normal = rng.standard_normal((len(times_s), 2, dims))
        errors = self.white * normal[:, 0]
        gaps = np.diff(times_s)
        keep = np.exp(-gaps / self.relaxation_s)
        # What the bias gathers over a gap is the integral of the walk that decays: exact, not a small-step formula.
        gathered = gaps if np.isinf(self.relaxation_s) else self.relaxation_s / 2 * (1 - keep**2)
        step = self.walk * np.sqrt(gathered)
        bias = np.zeros(dims)
        for i in range(len(times_s)):
            bias = self.bias * normal[0, 1] if i == 0 else keep[i - 1] * bias + step[i - 1] * normal[i, 1]
            errors[i] += bias
        return errors


@dataclass(frozen=True)
class GnssNoise:
    """What is wrong with the poses of a drive.

    Args:
        position: of x and of y each, metres.
        heading: radians.
    """

    position: ErrorProcess
    heading: ErrorProcess

    @classmethod
    def stationary(
        cls, sigma_m: float, heading_deg: float, white_share: float = 0.1, relaxation_s: float = 60.0
    ) -> "GnssNoise":
        """Noise of ``sigma_m`` along each axis and ``heading_deg`` at every instant: the form of a benchmark."""
        return cls(
            ErrorProcess.stationary(sigma_m, white_share, relaxation_s),
            ErrorProcess.stationary(float(np.radians(heading_deg)), white_share, relaxation_s),
        )


def draw_gnss_errors(times_s: NDArray, noise: GnssNoise, rng: np.random.Generator) -> NDArray:
    """Errors of one drive.

    Args:
        times_s: (T,) seconds of its frames, not decreasing.
        noise: how large.
        rng: seed it by the drive, so that every frame of the drive sees the same bias.

    Returns:
        (T, 3) float64: x and y metres in world axes, yaw radians.
    """
    position_rng, heading_rng = rng.spawn(2)
    position = noise.position.draw(times_s, position_rng, 2)
    return np.concatenate([position, noise.heading.draw(times_s, heading_rng)], axis=1)


def apply_gnss_errors(world_from_ego: NDArray, errors: NDArray) -> NDArray:
    """The poses that the receiver reports.

    Args:
        world_from_ego: (T, 4, 4) true poses.
        errors: (T, 3) of :func:`draw_gnss_errors`; yaw turns the vehicle about its own origin.

    Returns:
        (T, 4, 4) float64; roll, pitch and height are kept.
    """
    world_from_ego, errors = np.asarray(world_from_ego, np.float64), np.asarray(errors, np.float64)
    if world_from_ego.ndim != 3 or errors.shape != (len(world_from_ego), 3):
        raise ValueError(f"wants poses (T, 4, 4) and errors (T, 3), got {world_from_ego.shape}, {errors.shape}")
    reported = world_from_ego.copy()
    for pose, error in zip(reported, errors, strict=True):
        pose[:3, :3] = rotation_z(error[2]) @ pose[:3, :3]
        pose[:2, 3] += error[:2]
    return reported
