"""An error between cameras and LiDAR, made on purpose."""

import numpy as np

from mapstack.errors import ConfigError
from mapstack.geometry.se3 import invert, make_transform, rotation_z
from mapstack.registry import TRANSFORMS

from .bev import aug_from_ego
from .randomness import frame_generator

__all__ = ["MisalignCameras"]


@TRANSFORMS.register_module()
class MisalignCameras:
    """Move all cameras of a frame together, as a wrong calibration or a late clock does; LiDAR and truth stay.

    Changes ``ego_from_camera``, and adds ``camera_error`` (4, 4): where the cameras now say that a place of the
    (augmented) ego frame is. Whatever stands behind it in the pipeline, depth targets too, sees the wrong calibration.

    Args:
        translation_m: length of the shift; its direction, level, is drawn.
        rotation_deg: angle about the vertical axis; its sign is drawn.
        exact: False draws length and angle, too, from zero up to these.
    """

    def __init__(self, translation_m: float = 0.5, rotation_deg: float = 1.0, exact: bool = True) -> None:
        if translation_m < 0 or rotation_deg < 0:
            raise ConfigError(f"translation_m and rotation_deg are sizes, got {translation_m} and {rotation_deg}")
        self.translation_m, self.rotation_deg, self.exact = translation_m, rotation_deg, exact

    def __call__(self, results: dict) -> dict:
        """Move them.

        Raises:
            ConfigError: no image was loaded yet.
        """
        if "ego_from_camera" not in results:
            raise ConfigError("MisalignCameras must stand after LoadImages in the pipeline")
        generator = frame_generator(results, self)
        towards, share, turn_share = generator.uniform(-np.pi, np.pi), *generator.random(2)
        sign = 1.0 if generator.random() < 0.5 else -1.0
        length = self.translation_m * (1.0 if self.exact else share)
        yaw = sign * np.deg2rad(self.rotation_deg) * (1.0 if self.exact else turn_share)
        error = make_transform(rotation_z(yaw), length * np.array([np.cos(towards), np.sin(towards), 0.0]))
        aug = aug_from_ego(results)
        results["camera_error"] = aug @ error @ invert(aug)
        results["ego_from_camera"] = results["camera_error"] @ results["ego_from_camera"]
        return results
