"""Moving the ego frame: augmentation (rotation, reflection, scale) and the choice of origin.

Both only note the motion; loaders and the vectorizer after them apply it, so that cameras, points and map cannot
disagree and the map patch is cut at the moved pose, full to its corners.
"""

import numpy as np
from numpy.typing import NDArray

from mapstack.errors import ConfigError, DataError
from mapstack.geometry.se3 import make_transform, rotation_z
from mapstack.registry import TRANSFORMS

from .randomness import frame_generator

__all__ = ["AugmentBEV", "SetOrigin", "aug_from_ego"]

LOADED_KEYS = ("images", "points", "patch", "prior")
ORIGINS = ("ego", "lidar")


def aug_from_ego(results: dict) -> NDArray:
    """(4, 4) float64: from the frame's ego frame to the augmented one; the identity without augmentation."""
    return results.get("aug_from_ego", np.eye(4))


def refuse_after_loading(results: dict, transform: object) -> None:
    """Raise ConfigError when something was loaded already, which would stay in the frame before the motion."""
    loaded = [key for key in LOADED_KEYS if key in results]
    if loaded:
        name = type(transform).__name__
        raise ConfigError(f"{name} must stand before the transforms that made {', '.join(loaded)} in the pipeline")


@TRANSFORMS.register_module()
class AugmentBEV:
    """Draw a rotation about z, reflections and a scale of the ego frame: ``aug = scale @ reflect @ rotate``.

    ``results["aug_from_ego"]`` holds the product and ``results["bev_augmentation"]`` its parts. With a reflection or
    a scale, ``ego_from_camera`` is no rigid transform any more: invert it as a matrix, never by transposing.

    Args:
        flip_y_prob: chance of mirroring left and right; the grid must be symmetric in y.
        flip_x_prob: chance of mirroring front and back; the grid must be symmetric in x.
        rotate_deg: the angle is drawn from [-rotate_deg, rotate_deg].
        scale: (low, high) of the scale factor.
    """

    def __init__(
        self,
        flip_y_prob: float = 0.0,
        flip_x_prob: float = 0.0,
        rotate_deg: float = 0.0,
        scale: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        if not (0 <= flip_y_prob <= 1 and 0 <= flip_x_prob <= 1):
            raise ConfigError(f"flip probabilities must lie in [0, 1], got {flip_y_prob}, {flip_x_prob}")
        if not 0 < scale[0] <= scale[1]:
            raise ConfigError(f"scale must be (low, high) with 0 < low <= high, got {scale}")
        self.flip_y_prob, self.flip_x_prob = flip_y_prob, flip_x_prob
        self.rotate_deg, self.scale = rotate_deg, scale

    def __call__(self, results: dict) -> dict:
        """Note the motion in ``results``."""
        refuse_after_loading(results, self)
        generator = frame_generator(results, self)
        flip_x, flip_y = generator.random(2) < (self.flip_x_prob, self.flip_y_prob)
        yaw = np.deg2rad(generator.uniform(-self.rotate_deg, self.rotate_deg))
        scale = generator.uniform(*self.scale)
        reflect = np.array([-1.0 if flip_x else 1.0, -1.0 if flip_y else 1.0])
        linear = scale * np.diag([*reflect, 1.0]) @ rotation_z(yaw)
        results["bev_augmentation"] = {"yaw_rad": float(yaw), "reflect": reflect, "scale": float(scale)}
        results["aug_from_ego"] = make_transform(linear, np.zeros(3))
        return results


@TRANSFORMS.register_module()
class SetOrigin:
    """Move the origin of the whole frame, axes kept: ``lidar`` for comparison with truth centred on the LiDAR.

    Args:
        origin: "ego" leaves the frame; "lidar" puts the origin below the LiDAR (x and y; the height stays the ego's).
    """

    def __init__(self, origin: str = "ego") -> None:
        if origin not in ORIGINS:
            raise ConfigError(f"origin must be one of {ORIGINS}, got {origin!r}")
        self.origin = origin

    def __call__(self, results: dict) -> dict:
        """Re-base poses and calibration on the new origin."""
        results["origin"] = self.origin
        if self.origin == "ego":
            return results
        refuse_after_loading(results, self)
        if "aug_from_ego" in results:
            raise ConfigError("SetOrigin must stand before AugmentBEV in the pipeline")
        if results["lidar"] is None:
            raise DataError(f"{results['token']} has no LiDAR to be the origin; use SetOrigin(origin='ego')")
        shift = np.zeros(3)
        shift[:2] = results["lidar"]["ego_from_lidar"][:2, 3]
        new_from_ego = make_transform(np.eye(3), -shift)
        results["world_from_ego"] = results["world_from_ego"] @ make_transform(np.eye(3), shift)
        for camera in results["cameras"]:
            camera["ego_from_camera"] = new_from_ego @ camera["ego_from_camera"]
        results["lidar"]["ego_from_lidar"] = new_from_ego @ results["lidar"]["ego_from_lidar"]
        for sweep in results["lidar"]["sweeps"]:
            sweep["ego_from_sweep"] = new_from_ego @ sweep["ego_from_sweep"]
        return results
