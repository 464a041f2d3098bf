"""An error between cameras and LiDAR, made on purpose."""

import numpy as np

from mapstack.errors import ConfigError
from mapstack.geometry.se3 import invert, make_transform, rotation_z, transform_points
from mapstack.registry import TRANSFORMS

from .bev import aug_from_ego
from .randomness import frame_generator

__all__ = ["MisalignSensor"]

CHANGED = {"camera": "ego_from_camera", "lidar": "points"}
LOADERS = {"camera": "LoadImages", "lidar": "LoadLidar"}


@TRANSFORMS.register_module()
class MisalignSensor:
    """Move all cameras of a frame together, or its LiDAR, as a wrong calibration or a late clock does.

    The other sensor and the truth stay. Changes ``ego_from_camera`` or ``points``, and adds ``sensor_error`` (4, 4):
    where the moved sensor now says that a place of the (augmented) ego frame is. Whatever stands behind it in the
    pipeline, depth targets too, sees the wrong calibration.

    Args:
        sensor: "camera" or "lidar".
        translation_m: length of the shift; its direction, level, is drawn.
        rotation_deg: angle about the vertical axis; its sign is drawn.
        exact: False draws length and angle, too, from zero up to these.
    """

    def __init__(
        self, sensor: str = "camera", translation_m: float = 0.5, rotation_deg: float = 1.0, exact: bool = True
    ) -> None:
        if sensor not in CHANGED:
            raise ConfigError(f"sensor must be one of {', '.join(CHANGED)}, got {sensor!r}")
        if translation_m < 0 or rotation_deg < 0:
            raise ConfigError(f"translation_m and rotation_deg are sizes, got {translation_m} and {rotation_deg}")
        self.sensor, self.translation_m, self.rotation_deg, self.exact = sensor, translation_m, rotation_deg, exact

    def __call__(self, results: dict) -> dict:
        """Move it.

        Raises:
            ConfigError: the sensor's data was not loaded yet.
        """
        if CHANGED[self.sensor] not in results:
            raise ConfigError(f"MisalignSensor must stand after {LOADERS[self.sensor]} in the pipeline")
        generator = frame_generator(results, self)
        towards, share, turn_share = generator.uniform(-np.pi, np.pi), *generator.random(2)
        sign = 1.0 if generator.random() < 0.5 else -1.0
        length = self.translation_m * (1.0 if self.exact else share)
        yaw = sign * np.deg2rad(self.rotation_deg) * (1.0 if self.exact else turn_share)
        error = make_transform(rotation_z(yaw), length * np.array([np.cos(towards), np.sin(towards), 0.0]))
        aug = aug_from_ego(results)
        error = aug @ error @ invert(aug)
        results["sensor_error"] = error
        if self.sensor == "camera":
            results["ego_from_camera"] = error @ results["ego_from_camera"]
        else:
            points = results["points"].copy()
            points[:, :3] = transform_points(error, points[:, :3].astype(np.float64))
            results["points"] = points
        return results
