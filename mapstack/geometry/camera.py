"""Pinhole projection (OpenCV axes: x right, y down, z forward), for NumPy arrays and torch tensors."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .se3 import rotate_exactly

__all__ = ["check_intrinsics", "invert_3x3", "project", "unproject"]

Array = TypeVar("Array")

MIN_DEPTH_M = 1e-3


def check_intrinsics(intrinsics: NDArray, name: str) -> None:
    """Raise ValueError naming the camera ``name`` unless (3, 3) ``intrinsics`` can be inverted."""
    intrinsics = np.asarray(intrinsics, dtype=float)
    if intrinsics.shape != (3, 3) or not np.isfinite(intrinsics).all():
        raise ValueError(f"{name}: intrinsics must be 3x3 finite numbers, got {intrinsics.tolist()}")
    if intrinsics[0, 0] <= 0 or intrinsics[1, 1] <= 0 or abs(np.linalg.det(intrinsics)) < 1e-9:
        raise ValueError(f"{name}: singular intrinsics {intrinsics.tolist()}; focal lengths must be positive")


def project(points_camera: Array, intrinsics: Array) -> tuple[Array, Array]:
    """Project camera points to pixels.

    Args:
        points_camera: (..., M, 3) camera metres.
        intrinsics: (..., 3, 3) ``image_from_camera``; leading axes broadcast.

    Returns:
        Pixels (..., M, 2) as (u, v), and depth (..., M) metres. Behind the camera the depth is negative
        and the pixel is meaningless: mask by depth.
    """
    depth = points_camera[..., 2]
    homogeneous = points_camera @ intrinsics.swapaxes(-1, -2)
    where = np.where if isinstance(depth, np.ndarray) else __import__("torch").where
    safe = where(abs(depth) < MIN_DEPTH_M, depth * 0 + MIN_DEPTH_M, depth)
    return homogeneous[..., :2] / safe[..., None], depth


def unproject(pixels: Array, depth: Array, intrinsics: Array) -> Array:
    """Lift pixels with depth to the camera frame.

    Args:
        pixels: (..., M, 2) as (u, v).
        depth: (..., M) metres along the optical axis.
        intrinsics: (..., 3, 3).

    Returns:
        (..., M, 3) camera metres.
    """
    module = np if isinstance(pixels, np.ndarray) else __import__("torch")
    homogeneous = module.concatenate([pixels, module.ones_like(pixels[..., :1])], -1)
    return rotate_exactly(invert_3x3(intrinsics), homogeneous) * depth[..., None]


def invert_3x3(matrix: Array) -> Array:
    """Inverse of (..., 3, 3) by cofactors: unlike ``linalg.inv`` it can be exported to ONNX."""
    module = np if isinstance(matrix, np.ndarray) else __import__("torch")
    a, b, c = matrix[..., 0, :], matrix[..., 1, :], matrix[..., 2, :]

    def cross(u: Array, v: Array) -> Array:
        parts = [u[..., i - 2] * v[..., i - 1] - u[..., i - 1] * v[..., i - 2] for i in range(3)]
        return module.stack(parts, -1)

    columns = module.stack([cross(b, c), cross(c, a), cross(a, b)], -1)
    products = a * columns[..., 0]
    determinant = products[..., 0] + products[..., 1] + products[..., 2]
    return columns / determinant[..., None, None]
