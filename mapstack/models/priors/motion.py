"""Priors of a batch moved on the ground, and cut to the patch again."""

from dataclasses import replace

import torch
from torch import Tensor

from mapstack.geometry import BEVGrid
from mapstack.structures import PriorBatch

__all__ = ["cut_to_patch", "move_points", "move_priors"]

SAMPLES_PER_SEGMENT = 4  # looked at for being inside: a cut is exact to a quarter of the points' spacing
LEAST_SAMPLES = 3  # that a piece must have inside


def move_points(points: Tensor, pose: Tensor) -> Tensor:
    """Turn (B, ..., 2) points about the ego, then shift them, by (B, 3): x and y metres and yaw radians."""
    x, y = points.unbind(-1)
    pose = pose.to(x.dtype).reshape(-1, 3, *[1] * (x.ndim - 1))
    move_x, move_y, yaw = pose.unbind(1)
    cos, sin = yaw.cos(), yaw.sin()
    return torch.stack([cos * x - sin * y + move_x, sin * x + cos * y + move_y], -1)


def move_priors(vectors: PriorBatch, pose: Tensor) -> PriorBatch:
    """Turn all points of a frame about the ego, then shift them; padding stays at 0.

    Args:
        vectors: of B frames.
        pose: (B, 3) x and y metres and yaw radians of ``new_from_old``.
    """
    return replace(vectors, points=_zero_padding(move_points(vectors.points, pose), vectors.valid))


def cut_to_patch(vectors: PriorBatch, grid: BEVGrid) -> PriorBatch:
    """Of each vector the longest piece inside the patch, again of P points; one with no such piece becomes padding.

    A piece ends at a sample, so it may be short of the patch's edge by a quarter of the spacing of the vector's points.

    Args:
        vectors: of B frames, in the plane, their points evenly spaced.
        grid: the patch.
    """
    points = vectors.points
    num_points = points.shape[2]
    steps = (num_points - 1) * SAMPLES_PER_SEGMENT
    samples = _at(
        points, torch.linspace(0, num_points - 1, steps + 1, device=points.device).expand(*points.shape[:2], -1)
    )
    x_min, y_min, x_max, y_max = grid.box_xy
    x, y = samples.unbind(-1)
    inside = (x >= x_min) & (x <= x_max) & (y >= y_min) & (y <= y_max)
    # Length of the run of insiders that ends at each sample: the way back to the last outsider.
    order = torch.arange(steps + 1, device=points.device)
    before = (order <= order[:, None]) & ~inside[..., None, :]  # (B, N, sample, outsider before it)
    last_outside = torch.where(before, order, -torch.ones_like(order)).amax(-1)
    run, end = torch.where(inside, order - last_outside, torch.zeros_like(order)).max(-1)
    share = torch.linspace(0, 1, num_points, device=points.device)
    start = (end - run + 1).clamp(min=0).to(points.dtype)
    along = start[..., None] + share * (end.to(points.dtype) - start)[..., None]
    cut = _at(points, along / SAMPLES_PER_SEGMENT)
    valid = vectors.valid & (run >= LEAST_SAMPLES)
    return replace(vectors, points=_zero_padding(cut, valid), valid=valid)


def _at(points: Tensor, where: Tensor) -> Tensor:
    """(B, N, S, 2): the places of (B, N, P, 2) at (B, N, S) positions counted in points."""
    last = points.shape[2] - 1
    first = where.floor().clamp(0, last - 1)
    index = first.long()[..., None].expand(-1, -1, -1, 2)
    before, after = points.gather(2, index), points.gather(2, index + 1)
    return before + (where - first)[..., None] * (after - before)


def _zero_padding(points: Tensor, valid: Tensor) -> Tensor:
    return torch.where(valid[..., None, None], points, torch.zeros_like(points))
