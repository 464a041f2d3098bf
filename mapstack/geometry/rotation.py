"""Rotations of space as numbers: quaternions, their logarithms, Euler angles, six and five numbers; SO(3) exp and log.

All functions take torch tensors of any leading shape and can be differentiated wherever they are continuous, the
identity and half turns included. Which of the representations are continuous is Zhou et al., "On the Continuity of
Rotation Representations in Neural Networks" (CVPR 2019): none of fewer than five numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = [
    "PLANAR_REPRESENTATIONS",
    "REPRESENTATIONS",
    "Representation",
    "euler_to_matrix",
    "five_d_to_matrix",
    "geodesic_distance",
    "log_quaternion_to_matrix",
    "matrix_to_euler",
    "matrix_to_five_d",
    "matrix_to_log_quaternion",
    "matrix_to_quaternion",
    "matrix_to_six_d",
    "quaternion_exp",
    "quaternion_log",
    "quaternion_to_matrix",
    "six_d_to_matrix",
    "so3_exp",
    "so3_log",
]

SMALL = 1e-4  # below this angle the series is exact to double precision, and the closed form divides 0 by 0
NORM_FLOOR = 1e-8
STEREOGRAPHIC_SCALE = 2**0.5 + 1  # longest projection that a rotation has, so that all five numbers stay within 1


def _safe_norm(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Length (..., 1) with 1 in place of a length below SMALL, and where that was; no gradient is infinite."""
    squared = (vectors * vectors).sum(-1, keepdim=True)
    is_small = squared < SMALL**2
    return torch.where(is_small, torch.ones_like(squared), squared).sqrt(), is_small


def _normalize(vectors: Tensor) -> Tensor:
    squared = (vectors * vectors).sum(-1, keepdim=True)
    return vectors * squared.clamp_min(NORM_FLOOR**2).rsqrt()


def quaternion_to_matrix(quaternion: Tensor) -> Tensor:
    """Rotation of any quaternion that is not zero.

    Args:
        quaternion: (..., 4) w, x, y, z; need not have length 1.

    Returns:
        (..., 3, 3).
    """
    w, x, y, z = _normalize(quaternion).unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
    ]
    return torch.stack(rows, -2)


def matrix_to_quaternion(matrix: Tensor) -> Tensor:
    """The quaternion with w >= 0, which jumps at half turns.

    The products of its components, 4 q q^T, are linear in the matrix; each row of them is a multiple of q, and the row
    with the largest diagonal is never short.

    Args:
        matrix: (..., 3, 3) rotations.

    Returns:
        (..., 4) w, x, y, z of length 1.
    """
    m = [[matrix[..., i, j] for j in range(3)] for i in range(3)]
    wx, wy, wz = m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]
    xy, xz, yz = m[0][1] + m[1][0], m[0][2] + m[2][0], m[1][2] + m[2][1]
    products = torch.stack(
        [
            torch.stack([1 + m[0][0] + m[1][1] + m[2][2], wx, wy, wz], -1),
            torch.stack([wx, 1 + m[0][0] - m[1][1] - m[2][2], xy, xz], -1),
            torch.stack([wy, xy, 1 - m[0][0] + m[1][1] - m[2][2], yz], -1),
            torch.stack([wz, xz, yz, 1 - m[0][0] - m[1][1] + m[2][2]], -1),
        ],
        -2,
    )  # (..., 4, 4)
    largest = products.diagonal(dim1=-2, dim2=-1).argmax(-1)[..., None, None]
    row = torch.take_along_dim(products, largest, -2).squeeze(-2)
    return _normalize(torch.where(row[..., :1] < 0, -row, row))


def quaternion_log(quaternion: Tensor) -> Tensor:
    """Half the rotation vector: arccos(w) times the axis, in the form that has gradients at the identity.

    Args:
        quaternion: (..., 4) w, x, y, z of length 1.

    Returns:
        (..., 3); zero at the identity. q and -q give different logarithms: choose w >= 0 first.
    """
    w, v = quaternion[..., :1], quaternion[..., 1:]
    length, is_small = _safe_norm(v)
    # The two-step where keeps the unused branch finite, or its gradient would be 0 times infinity.
    near = torch.where(is_small & (w > 0), w, torch.ones_like(w))
    series = (1 - (v * v).sum(-1, keepdim=True) / (3 * near * near)) / near
    return v * torch.where(is_small, series, torch.atan2(length, w) / length)


def quaternion_exp(log_quaternion: Tensor) -> Tensor:
    """Undo :func:`quaternion_log`; defined and smooth for every (..., 3)."""
    angle, is_small = _safe_norm(log_quaternion)
    squared = (log_quaternion * log_quaternion).sum(-1, keepdim=True)
    w = torch.where(is_small, 1 - squared / 2, angle.cos())
    sinc = torch.where(is_small, 1 - squared / 6, angle.sin() / angle)
    return torch.cat([w, sinc * log_quaternion], -1)


def log_quaternion_to_matrix(log_quaternion: Tensor) -> Tensor:
    """Rotation (..., 3, 3) by twice the length of (..., 3) about its direction."""
    return quaternion_to_matrix(quaternion_exp(log_quaternion))


def matrix_to_log_quaternion(matrix: Tensor) -> Tensor:
    """MapNet's (..., 3) of rotations (..., 3, 3): the logarithm of the quaternion with w >= 0."""
    return quaternion_log(matrix_to_quaternion(matrix))


def so3_exp(rotation_vector: Tensor) -> Tensor:
    """Rotation (..., 3, 3) about the direction of (..., 3), by its length in radians."""
    return log_quaternion_to_matrix(rotation_vector / 2)


def so3_log(matrix: Tensor) -> Tensor:
    """Rotation vector (..., 3), at most pi long, of rotations (..., 3, 3); at a half turn one of the two."""
    return 2 * matrix_to_log_quaternion(matrix)


def geodesic_distance(first: Tensor, second: Tensor) -> Tensor:
    """Angle between rotations, by arctan of sine and cosine, whose gradient is bounded where that of arccos is not.

    Args:
        first: (..., 3, 3) rotations, or (..., 2, 2) of the plane.
        second: the same kind; leading axes broadcast.

    Returns:
        (...) radians in [0, pi]; the gradient at 0 and at pi, where the distance has a kink, is 0.
    """
    between = first.transpose(-1, -2) @ second
    if between.shape[-1] == 2:
        between = torch.nn.functional.pad(between, (0, 1, 0, 1)) + between.new_tensor([0.0, 0.0, 1.0]).diag()
    skew = between - between.transpose(-1, -2)
    axis = torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], -1) / 2
    squared = (axis * axis).sum(-1)
    is_zero = squared == 0
    sine = torch.where(is_zero, squared, torch.where(is_zero, torch.ones_like(squared), squared).sqrt())
    cosine = (between.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    return torch.atan2(sine, cosine)


def euler_to_matrix(euler: Tensor) -> Tensor:
    """Turn about z by yaw, then about the new y by pitch, then about the new x by roll.

    Args:
        euler: (..., 3) yaw, pitch, roll, radians.

    Returns:
        (..., 3, 3).
    """
    (cy, cp, cr), (sy, sp, sr) = euler.cos().unbind(-1), euler.sin().unbind(-1)
    rows = [
        torch.stack([cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr], -1),
        torch.stack([sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr], -1),
        torch.stack([-sp, cp * sr, cp * cr], -1),
    ]
    return torch.stack(rows, -2)


def matrix_to_euler(matrix: Tensor) -> Tensor:
    """(..., 3) yaw, pitch, roll of rotations (..., 3, 3); yaw and roll jump at pi and are arbitrary at pitch 90."""
    level = (matrix[..., 0, 0] ** 2 + matrix[..., 1, 0] ** 2).clamp_min(NORM_FLOOR**2).sqrt()
    yaw = torch.atan2(matrix[..., 1, 0], matrix[..., 0, 0])
    roll = torch.atan2(matrix[..., 2, 1], matrix[..., 2, 2])
    return torch.stack([yaw, torch.atan2(-matrix[..., 2, 0], level), roll], -1)


def six_d_to_matrix(six_d: Tensor) -> Tensor:
    """Gram-Schmidt on two columns, the third their cross product; smooth but where a1 is 0 or parallel to a2.

    Args:
        six_d: (..., 6) a1 then a2, any numbers.

    Returns:
        (..., 3, 3).
    """
    a1, a2 = six_d[..., :3], six_d[..., 3:]
    b1 = _normalize(a1)
    b2 = _normalize(a2 - (b1 * a2).sum(-1, keepdim=True) * b1)
    return torch.stack([b1, b2, torch.linalg.cross(b1, b2)], -1)


def matrix_to_six_d(matrix: Tensor) -> Tensor:
    """(..., 6) the first two columns of rotations (..., 3, 3): continuous everywhere."""
    return torch.cat([matrix[..., 0], matrix[..., 1]], -1)


def five_d_to_matrix(five_d: Tensor) -> Tensor:
    """The six numbers with one fewer: the last four of them, which for a rotation never point to the pole, projected.

    The paper's code scales the three projected numbers by two factors; here one factor serves all of them, which
    changes nothing but their units.

    Args:
        five_d: (..., 5).

    Returns:
        (..., 3, 3).
    """
    projected = five_d[..., 2:] * STEREOGRAPHIC_SCALE
    squared = (projected * projected).sum(-1, keepdim=True)
    length = squared.clamp_min(NORM_FLOOR**2).sqrt()
    # Unprojected to ((s - 1), 2 p) / (s + 1) and scaled until the second column, 2 p / (s + 1), has length 1.
    return six_d_to_matrix(torch.cat([five_d[..., :2], (squared - 1) / (2 * length), projected / length], -1))


def matrix_to_five_d(matrix: Tensor) -> Tensor:
    """(..., 5) of rotations (..., 3, 3): continuous everywhere."""
    first, second = matrix[..., 0], matrix[..., 1]
    height = first[..., 2:]
    length = (1 + height * height).sqrt()
    projected = second / (length - height)  # of the unit vector (height, second) / length, from the pole
    return torch.cat([first[..., :2], projected / STEREOGRAPHIC_SCALE], -1)


def yaw_vector_to_matrix(yaw_vector: Tensor) -> Tensor:
    """(..., 2, 2) of any (cos, sin) that is not zero: the plane's continuous representation."""
    cos, sin = _normalize(yaw_vector).unbind(-1)
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)


def matrix_to_yaw_vector(matrix: Tensor) -> Tensor:
    """(..., 2) cos and sin of (..., 2, 2)."""
    return matrix[..., 0]


def yaw_to_matrix(yaw: Tensor) -> Tensor:
    """(..., 2, 2) of (..., 1) radians."""
    return yaw_vector_to_matrix(torch.cat([yaw.cos(), yaw.sin()], -1))


def matrix_to_yaw(matrix: Tensor) -> Tensor:
    """(..., 1) radians of (..., 2, 2); jumps at pi."""
    return torch.atan2(matrix[..., 1, 0], matrix[..., 0, 0])[..., None]


@dataclass(frozen=True)
class Representation:
    """A way to write a rotation of D dimensions as numbers.

    Args:
        dims: how many.
        to_matrix: (..., dims) of any value to (..., D, D).
        from_matrix: (..., D, D) to the canonical (..., dims).
        is_continuous: whether ``from_matrix`` is.
    """

    dims: int
    to_matrix: Callable[[Tensor], Tensor]
    from_matrix: Callable[[Tensor], Tensor]
    is_continuous: bool


REPRESENTATIONS = {
    "six_d": Representation(6, six_d_to_matrix, matrix_to_six_d, True),
    "five_d": Representation(5, five_d_to_matrix, matrix_to_five_d, True),
    "quaternion": Representation(4, quaternion_to_matrix, matrix_to_quaternion, False),
    "log_quaternion": Representation(3, log_quaternion_to_matrix, matrix_to_log_quaternion, False),
    "euler": Representation(3, euler_to_matrix, matrix_to_euler, False),
}
PLANAR_REPRESENTATIONS = {
    "yaw_vector": Representation(2, yaw_vector_to_matrix, matrix_to_yaw_vector, True),
    "yaw": Representation(1, yaw_to_matrix, matrix_to_yaw, False),
}
