"""Rigid transforms as (..., 4, 4) matrices named ``dst_from_src``; NumPy arrays and torch tensors alike."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["invert", "make_transform", "planar_pose", "rotate_exactly", "rotation_z", "transform_points", "yaw_rad"]

Array = TypeVar("Array")


def make_transform(rotation: NDArray, translation: NDArray) -> NDArray:
    """Stack a rotation and a translation into ``dst_from_src``.

    Args:
        rotation: (3, 3) rotation of ``src`` axes seen in ``dst``.
        translation: (3,) metres, the origin of ``src`` in ``dst``.

    Returns:
        (4, 4) float64.
    """
    transform = np.eye(4)
    transform[:3, :3] = rotation
    transform[:3, 3] = translation
    return transform


def transform_points(dst_from_src: Array, points: Array) -> Array:
    """Move points from ``src`` to ``dst``.

    Args:
        dst_from_src: (..., 4, 4); leading axes broadcast with those of ``points``.
        points: (..., M, 3) in ``src``, metres.

    Returns:
        (..., M, 3) in ``dst``; the kind (NumPy or torch) of the input.
    """
    rotation, translation = dst_from_src[..., :3, :3], dst_from_src[..., None, :3, 3]
    return points @ rotation.swapaxes(-1, -2) + translation


def rotate_exactly(matrix: Array, points: Array) -> Array:
    """Multiply points by a matrix in single products and sums, which round alike in NumPy, PyTorch and ONNX Runtime.

    A matrix product sums in the order that its library likes best: points on the edge of a cell then fall to one side
    in training and to the other on the vehicle.

    Args:
        matrix: (..., 3, 3); leading axes broadcast with those of ``points``.
        points: (..., M, 3).

    Returns:
        (..., M, 3).
    """
    columns = matrix[..., None, :, :]
    x, y, z = (columns[..., i] * points[..., i, None] for i in range(3))
    return x + y + z


def invert(dst_from_src: Array) -> Array:
    """Return ``src_from_dst`` of (..., 4, 4) affine transforms (reflections of an augmentation included)."""
    linalg = np.linalg if isinstance(dst_from_src, np.ndarray) else __import__("torch").linalg
    return linalg.inv(dst_from_src)


def rotation_z(yaw: float) -> NDArray:
    """(3, 3) rotation by ``yaw`` radians about z, counter-clockwise seen from above."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def yaw_rad(world_from_ego: NDArray) -> float:
    """Heading of the ego x axis in the world's xy plane, radians in (-pi, pi]."""
    return float(np.arctan2(world_from_ego[1, 0], world_from_ego[0, 0]))


def planar_pose(world_from_ego: NDArray) -> NDArray:
    """The same origin and heading with roll and pitch taken out: what a gravity-aligned patch is cut by.

    Args:
        world_from_ego: (4, 4).

    Returns:
        (4, 4) float64, rotation about z only, translation kept (z included).
    """
    return make_transform(rotation_z(yaw_rad(world_from_ego)), np.asarray(world_from_ego)[:3, 3])
