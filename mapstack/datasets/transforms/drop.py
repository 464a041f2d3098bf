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


@TRANSFORMS.register_module()
class DropSensors:
    """Drop single cameras, all cameras, or the LiDAR of a frame, never all of its sensors.

    A dropped camera's image is black and its ``camera_valid`` False; a dropped LiDAR leaves (0, 5) ``points``.

    Args:
        camera_prob: chance of each camera alone; at least one stays.
        all_cameras_prob: chance of dropping all cameras of a frame that has LiDAR.
        lidar_prob: chance of dropping the LiDAR of a frame that has cameras.
    """

    def __init__(self, camera_prob: float = 0.0, all_cameras_prob: float = 0.0, lidar_prob: float = 0.0) -> None:
        if all_cameras_prob + lidar_prob > 1 or min(camera_prob, all_cameras_prob, lidar_prob) < 0 or camera_prob > 1:
            raise ConfigError(
                f"probabilities must lie in [0, 1] and all_cameras_prob + lidar_prob too, got {camera_prob}, "
                f"{all_cameras_prob}, {lidar_prob}"
            )
        self.camera_prob, self.all_cameras_prob, self.lidar_prob = camera_prob, all_cameras_prob, lidar_prob

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
        return results


@TRANSFORMS.register_module()
class LoseSensors:
    """Lose the named sensors of every frame, as a broken vehicle does.

    Args:
        cameras: names; each is black and not valid.
        lidar: True loses the LiDAR, which leaves (0, 5) ``points``.
    """

    def __init__(self, cameras: Sequence[str] = (), lidar: bool = False) -> None:
        self.cameras, self.lidar = tuple(cameras), lidar

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
        return results
