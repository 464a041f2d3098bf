"""Map corners in camera images: where an encoder looks for them, beside where they are."""

import cv2
import numpy as np
from numpy.typing import NDArray

from .camera import CameraView, project_lidar

__all__ = ["corner_errors_px", "draw_corners"]

FOUND, TRUE = (255, 60, 60), (60, 255, 60)


def corner_errors_px(view: CameraView, corners: NDArray, places: NDArray, seen: NDArray) -> NDArray:
    """How far an encoder's places are from plain projection in float64.

    Args:
        view: the camera's raw image.
        corners: (N, 3) ego metres.
        places: (N, 2) pixels of that image as (u, v), where the encoder looks.
        seen: (N,) bool, whether the encoder says that the camera sees it.

    Returns:
        (K,) pixels, for the corners that both put into the image.
    """
    pixels, _, rows = project_lidar(corners, view)
    both = np.asarray(seen, dtype=bool)[rows]
    return np.linalg.norm(np.asarray(places, dtype=float)[rows[both]] - pixels[both], axis=1)


def draw_corners(view: CameraView, corners: NDArray, places: NDArray, seen: NDArray) -> NDArray:
    """A copy of the image with a green circle about each corner and a red cross where the encoder looks for it.

    Args and shapes are those of :func:`corner_errors_px`; a cross in the middle of a circle is right.
    """
    image = np.ascontiguousarray(view.image).copy()
    size = max(round(view.size[0] / 160), 4)
    for u, v in np.round(project_lidar(corners, view)[0]).astype(int).tolist():
        cv2.circle(image, (u, v), size, TRUE, 2, cv2.LINE_AA)
    for u, v in np.round(np.asarray(places, dtype=float)[np.asarray(seen, dtype=bool)]).astype(int).tolist():
        cv2.drawMarker(image, (u, v), FOUND, cv2.MARKER_CROSS, size, 2, cv2.LINE_AA)
    return image
