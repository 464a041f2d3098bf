"""How places on the ground lie to polylines: the nearest point of each, smoothly."""

from typing import NamedTuple

import torch
from torch import Tensor

from mapstack.geometry import BEVGrid

__all__ = ["Nearness", "coarse_centers", "nearness"]

SHARPNESS_PER_M = 4.0  # segments that lie this much less far than another count e times as much
SHORTEST_M2 = 1e-6
MAX_SEGMENTS = 10  # of a polyline that are looked at: the cost is cells times vectors times segments


class Nearness(NamedTuple):
    """Of M places to N polylines.

    Args:
        distance: (B, M, N) metres, at least the true one and less than 0.3 m above it.
        offset: (B, M, N, 2) metres, from the place to the nearest point.
    """

    distance: Tensor
    offset: Tensor


def nearness(places: Tensor, points: Tensor) -> Nearness:
    """Find the nearest point of every polyline; no gradient reaches the points.

    The nearest segment is chosen by a softmax, not by argmin: two segments equally near, which a place on the axis of
    a bend has, would be chosen between by a rounding error, otherwise on the vehicle than in training.

    Args:
        places: (M, 2) metres.
        points: (B, N, P, 2) metres, P >= 2; a segment may have no length. Of more than 11 points so many are taken,
            the ends among them.
    """
    with torch.no_grad():
        segments = min(points.shape[2] - 1, MAX_SEGMENTS)
        points = points[:, :, [round(i * (points.shape[2] - 1) / segments) for i in range(segments + 1)]]
        x, y = places[:, 0, None, None], places[:, 1, None, None]  # (M, 1, 1)
        start, edge = points[:, None, :, :-1], points.diff(dim=2)[:, None]  # (B, 1, N, P - 1, 2)
        from_x, from_y = x - start[..., 0], y - start[..., 1]  # (B, M, N, P - 1)
        length2 = (edge[..., 0] ** 2 + edge[..., 1] ** 2).clamp(min=SHORTEST_M2)
        along = ((from_x * edge[..., 0] + from_y * edge[..., 1]) / length2).clamp(0, 1)
        to_x, to_y = along * edge[..., 0] - from_x, along * edge[..., 1] - from_y
        weight = (-SHARPNESS_PER_M * (to_x**2 + to_y**2 + SHORTEST_M2).sqrt()).softmax(-1)
        offset = torch.stack([(weight * to_x).sum(-1), (weight * to_y).sum(-1)], -1)
        distance = (weight * (to_x**2 + to_y**2 + SHORTEST_M2).sqrt()).sum(-1)
    return Nearness(distance, offset)


def coarse_centers(grid: BEVGrid, stride: int, like: Tensor) -> Tensor:
    """(rows, cols, 2) ego metres: the middles of the cells of ``grid`` taken together ``stride`` by ``stride``.

    A last row or column of fewer cells is taken for a whole one, as ``avg_pool2d`` with ``ceil_mode`` makes it.
    """
    rows, cols = (-(-side // stride) for side in grid.shape)
    x = grid.pc_range[0] + (torch.arange(cols, device=like.device) + 0.5) * (stride * grid.cell_m)
    y = grid.pc_range[1] + (torch.arange(rows, device=like.device) + 0.5) * (stride * grid.cell_m)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).to(like.dtype)
