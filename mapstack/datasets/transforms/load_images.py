"""Reading the cameras of a frame."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstack.errors import DataError
from mapstack.geometry.camera import check_intrinsics
from mapstack.registry import TRANSFORMS

from .bev import aug_from_ego

__all__ = ["LoadImages"]


@TRANSFORMS.register_module()
class LoadImages:
    """Decode the JPEGs of the chosen cameras.

    Adds ``images`` (list of (H, W, 3) uint8 RGB), ``intrinsics`` (V, 3, 3), ``ego_from_camera`` (V, 4, 4; of the
    augmented ego frame), ``camera_valid`` (V,) bool, ``camera_names`` and ``image_paths``.
    A pixel's centre has whole coordinates, as OpenCV calibrates: the image spans [-0.5, W - 0.5].

    Args:
        cameras: names in the order wanted; None takes the frame's own.
        allow_missing_cameras: a camera that the frame does not have is black and not valid. A camera that the frame
            has and whose file is missing or unreadable is an error all the same.
        missing_size: (H, W) of the black image.
    """

    def __init__(
        self,
        cameras: Sequence[str] | None = None,
        allow_missing_cameras: bool = False,
        missing_size: tuple[int, int] = (900, 1600),
    ) -> None:
        self.cameras = None if cameras is None else tuple(cameras)
        self.allow_missing_cameras = allow_missing_cameras
        self.missing_size = tuple(missing_size)

    def __call__(self, results: dict) -> dict:
        """Load the images and their calibration."""
        available = {camera["name"]: camera for camera in results["cameras"]}
        names = self.cameras or tuple(available)
        missing = [name for name in names if name not in available]
        if not names or (missing and not self.allow_missing_cameras):
            raise DataError(
                f"{results['token']} has no camera {', '.join(missing) or 'at all'} (it has "
                f"{', '.join(available) or 'none'}); set LoadImages(cameras=...) to what there is, or "
                f"allow_missing_cameras=True"
            )
        cameras = [available.get(name) or self._absent(name) for name in names]
        results["images"] = [self._read(camera, results["token"]) for camera in cameras]
        results["intrinsics"] = np.stack([camera["intrinsics"] for camera in cameras])
        results["ego_from_camera"] = aug_from_ego(results) @ np.stack([camera["ego_from_camera"] for camera in cameras])
        results["camera_valid"] = np.array([name in available for name in names])
        results["camera_names"] = names
        results["image_paths"] = [camera["path"] for camera in cameras]
        return results

    def _absent(self, name: str) -> dict:
        height, width = self.missing_size
        intrinsics = np.array([[width, 0.0, width / 2], [0.0, width, height / 2], [0.0, 0.0, 1.0]])
        return {"name": name, "path": None, "width": width, "height": height} | {
            "intrinsics": intrinsics,
            "ego_from_camera": np.eye(4),
        }

    def _read(self, camera: dict, token: str) -> NDArray:
        if camera["path"] is None:
            return np.zeros((camera["height"], camera["width"], 3), np.uint8)
        try:
            check_intrinsics(camera["intrinsics"], camera["name"])
        except ValueError as error:
            raise DataError(f"frame {token}: {error}; mend the calibration and prepare the index again") from error
        image = _decode(camera["path"], token)
        if image.shape[:2] != (camera["height"], camera["width"]):
            raise DataError(
                f"frame {token}: {camera['path']} is {image.shape[1]}x{image.shape[0]}, the index says "
                f"{camera['width']}x{camera['height']}; its intrinsics would be wrong, prepare the index again"
            )
        return image


def _decode(path: str, token: str) -> NDArray:
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"frame {token}: cannot read {path} ({error.strerror}); restore the file") from error
    image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if data.size else None
    if image is None:
        raise DataError(f"frame {token}: {path} is no readable image ({data.size} bytes); copy the file again")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
