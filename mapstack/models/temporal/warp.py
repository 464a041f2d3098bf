"""Ego motion applied to what an earlier frame left: BEV maps are resampled, points are moved."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mapstack.geometry import BEVGrid

__all__ = ["move_points", "warp_bev"]


def warp_bev(bev: Tensor, previous_from_current: Tensor, grid: BEVGrid) -> Tensor:
    """Resample the previous frame's map at the cells of the current one, bilinearly; zero where it did not reach.

    Args:
        bev: (B, C, rows, cols) over ``grid`` in the previous frame; any number of cells.
        previous_from_current: (B, 4, 4), planar: the BEV frame now, seen in the BEV frame then. Reflections and
            scales of an augmentation are allowed.
        grid: the patch that the map covers, the same in both frames.

    Returns:
        (B, C, rows, cols) over ``grid`` in the current frame.
    """
    rows, cols = bev.shape[-2:]
    x_min, y_min, x_max, y_max = grid.box_xy
    size_x, size_y = x_max - x_min, y_max - y_min
    motion = previous_from_current.to(bev.dtype)[..., None, None]  # (B, 4, 4, 1, 1)
    x = ((torch.arange(cols, device=bev.device, dtype=bev.dtype) + 0.5) / cols * size_x + x_min)[None, None]
    y = ((torch.arange(rows, device=bev.device, dtype=bev.dtype) + 0.5) / rows * size_y + y_min)[None, :, None]
    before_x = motion[:, 0, 0] * x + motion[:, 0, 1] * y + motion[:, 0, 3]  # (B, rows, cols), ego metres then
    before_y = motion[:, 1, 0] * x + motion[:, 1, 1] * y + motion[:, 1, 3]
    where = torch.stack([(before_x - x_min) / size_x, (before_y - y_min) / size_y], -1) * 2 - 1
    return F.grid_sample(bev, where, mode="bilinear", padding_mode="zeros", align_corners=False)


def move_points(points: Tensor, previous_from_current: Tensor) -> Tensor:
    """Move points of the previous frame into the current one.

    Args:
        points: (B, ..., 2 or 3) metres of the previous BEV frame; a height is kept.
        previous_from_current: (B, 4, 4) as in :func:`warp_bev`.

    Returns:
        The same shape, metres of the current BEV frame.
    """
    motion = previous_from_current.to(points.dtype).reshape(-1, 4, 4, *[1] * (points.ndim - 2))
    a, b, c, d = motion[:, 0, 0], motion[:, 0, 1], motion[:, 1, 0], motion[:, 1, 1]
    x, y = points[..., 0] - motion[:, 0, 3], points[..., 1] - motion[:, 1, 3]
    scale = a * d - b * c  # the plane's 2 x 2 part is inverted by hand: linalg.inv has no ONNX form
    moved = [(d * x - b * y) / scale, (a * y - c * x) / scale]
    return torch.stack([*moved, *points[..., 2:].unbind(-1)], -1)
