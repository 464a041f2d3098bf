"""Leaving sensors out: by chance while training, so that a model survives their failure, and by name to measure it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mapstack.errors import ConfigError
from mapstack.registry import TRANSFORMS

from .randomness import frame_generator

__all__ = ["DropSensors", "LoseSensors"]


def _black_out(results: dict, lost: NDArray) -> None:
    """Mark cameras (V,) as absent and blacken their images."""
    results["camera_valid"] = results["camera_valid"] & ~lost
    results["images"] = [
        np.zeros_like(image) if gone else image for image, gone in zip(results["images"], lost, strict=True)
    ]


def _without_intensity(points: NDArray) -> NDArray:
    """(M, 5) points whose fourth column is 0."""
    points = points.copy()
    points[:, 3] = 0.0
    return points


@TRANSFORMS.register_module()
class DropSensors:
    """Drop single cameras, all cameras, or the LiDAR of a frame, never all of its sensors; or the intensity alone.

    A dropped camera's image is black and its ``camera_valid`` False; a dropped LiDAR leaves (0, 5) ``points``. Without
    intensity every point has 0: makers scale it each in their own way, and some sensors have none.

    Args:
        camera_prob: chance of each camera alone; at least one stays.
        all_cameras_prob: chance of dropping all cameras of a frame that has LiDAR.
        lidar_prob: chance of dropping the LiDAR of a frame that has cameras.
        intensity_prob: chance of dropping the intensity of a frame's points.
    """

    def __init__(
        self,
        camera_prob: float = 0.0,
        all_cameras_prob: float = 0.0,
        lidar_prob: float = 0.0,
        intensity_prob: float = 0.0,
    ) -> None:
        probs = (camera_prob, all_cameras_prob, lidar_prob, intensity_prob)
        if all_cameras_prob + lidar_prob > 1 or min(probs) < 0 or max(probs) > 1:
            raise ConfigError(
                "probabilities must lie in [0, 1] and all_cameras_prob + lidar_prob too, got "
                + ", ".join(map(str, probs))
            )
        self.camera_prob, self.all_cameras_prob, self.lidar_prob, self.intensity_prob = probs

    def __call__(self, results: dict) -> dict:
        """Drop what the frame's seed says."""
        generator = frame_generator(results, self)
        modality = generator.random()
        has_both = "images" in results and "points" in results
        if has_both and modality < self.lidar_prob:
            results["points"] = np.zeros((0, 5), np.float32)
        if "images" in results:
            valid = results["camera_valid"]
            dropped = generator.random(len(valid)) < self.camera_prob
            if (valid & ~dropped).sum() == 0:
                dropped[generator.choice(np.flatnonzero(valid)) if valid.any() else 0] = False
            if has_both and self.lidar_prob <= modality < self.lidar_prob + self.all_cameras_prob:
                dropped[:] = True
            _black_out(results, dropped)
        if generator.random() < self.intensity_prob and "points" in results:
            results["points"] = _without_intensity(results["points"])
        return results


@TRANSFORMS.register_module()
class LoseSensors:
    """Lose the named sensors of every frame, as a broken vehicle does.

    Args:
        cameras: names; each is black and not valid.
        lidar: True loses the LiDAR, which leaves (0, 5) ``points``.
        intensity: True loses the LiDAR's intensity, which leaves 0 in every point.
    """

    def __init__(self, cameras: Sequence[str] = (), lidar: bool = False, intensity: bool = False) -> None:
        self.cameras, self.lidar, self.intensity = tuple(cameras), lidar, intensity

    def __call__(self, results: dict) -> dict:
        """Lose them.

        Raises:
            ConfigError: a camera of that name was not loaded.
        """
        if self.cameras:
            names = results.get("camera_names", ())
            unknown = set(self.cameras) - set(names)
            if unknown:
                raise ConfigError(f"LoseSensors: {', '.join(sorted(unknown))} is not among the loaded {names}")
            _black_out(results, np.isin(names, self.cameras))
        if self.lidar:
            results["points"] = np.zeros((0, 5), np.float32)
        if self.intensity:
            results["points"] = _without_intensity(results["points"])
        return results
