"""Group LiDAR points by the cell they fall into: pillars of any height, with no compiled op.

Two forms. **Pillars**: only the cells that hold a point, a list whose length depends on the data
(:func:`voxelize`, :func:`voxelize_hard`). **Canvas**: the whole BEV, shapes known beforehand, which is
what ONNX and compilers want (:func:`scatter_to_canvas`, :func:`gather_from_canvas`).
Cells are integers; a column of 3-D voxels is had by putting the height bin into the batch index.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ..bev_pool.plan import flat_cell_ids

__all__ = [
    "HardPillars",
    "Pillars",
    "gather_from_canvas",
    "scatter_pillars",
    "scatter_to_canvas",
    "voxelize",
    "voxelize_hard",
]

REDUCTIONS = {"sum": "sum", "mean": "mean", "max": "amax"}


class Pillars(NamedTuple):
    """The N occupied cells among M points.

    ``coords`` (N, 3) int64 (batch, row, col) in memory order; ``inverse`` (M,) int64, the pillar of each
    point, N for a point outside the grid; ``counts`` (N,) int64, points in each pillar.
    """

    coords: Tensor
    inverse: Tensor
    counts: Tensor


class HardPillars(NamedTuple):
    """At most P points of each of at most N cells.

    ``feats`` (N, P, F), zero on padding; ``coords`` (N, 3) int64 (batch, row, col); ``counts`` (N,) int64,
    the points kept.
    """

    feats: Tensor
    coords: Tensor
    counts: Tensor


def _check(name: str, feats: Tensor, cells: Tensor) -> None:
    if feats.ndim != 2 or cells.shape != (feats.shape[0], 3):
        raise ValueError(f"{name} wants (M, F) and (M, 3), got {tuple(feats.shape)} and {tuple(cells.shape)}")


def _unflatten(ids: Tensor, grid_shape: tuple[int, int, int]) -> Tensor:
    _, height, width = grid_shape
    return torch.stack([ids // (height * width), ids // width % height, ids % width], dim=-1)


def voxelize(cells: Tensor, grid_shape: tuple[int, int, int]) -> Pillars:
    """Group points by cell: dynamic pillars, none dropped but those outside.

    Args:
        cells: (M, 3) int64 (batch, row, col).
        grid_shape: (B, H, W).

    Returns:
        The occupied cells; see :class:`Pillars`. No point inside gives N = 0.
    """
    if cells.ndim != 2 or cells.shape[1] != 3:
        raise ValueError(f"voxelize wants cells (M, 3), got {tuple(cells.shape)}")
    outside = grid_shape[0] * grid_shape[1] * grid_shape[2]
    ids, inverse, counts = flat_cell_ids(cells, grid_shape).unique(return_inverse=True, return_counts=True)
    kept = int((ids < outside).sum())  # ids are sorted: the points outside, if any, are the last group
    return Pillars(_unflatten(ids[:kept], grid_shape), inverse, counts[:kept])


def scatter_pillars(feats: Tensor, pillars: Pillars, reduce: str = "mean") -> Tensor:
    """Reduce point features to one row per pillar.

    Args:
        feats: (M, F) float; differentiable.
        pillars: of the same M points.
        reduce: "sum", "mean" or "max"; among equal maxima the gradient is shared.

    Returns:
        (N, F).
    """
    if reduce not in REDUCTIONS:
        raise ValueError(f"reduce must be one of {tuple(REDUCTIONS)}, got {reduce!r}")
    rows = feats.new_zeros(len(pillars.coords) + 1, feats.shape[1])
    index = pillars.inverse[:, None].expand_as(feats)
    return rows.scatter_reduce(0, index, feats, REDUCTIONS[reduce], include_self=False)[:-1]


def voxelize_hard(
    feats: Tensor, cells: Tensor, grid_shape: tuple[int, int, int], *, max_points: int, max_pillars: int
) -> HardPillars:
    """Keep the first ``max_points`` points of each of the first ``max_pillars`` cells that a point enters.

    The order of the points decides, as in the published voxelizers; the result is deterministic.

    Args:
        feats: (M, F) float; differentiable.
        cells: (M, 3) int64 (batch, row, col).
        grid_shape: (B, H, W).
        max_points: P, at least 1.
        max_pillars: at least 1; counted over the whole batch.

    Returns:
        See :class:`HardPillars`; pillars in the order of their first point.
    """
    _check("voxelize_hard", feats, cells)
    if max_points < 1 or max_pillars < 1:
        raise ValueError(f"max_points and max_pillars must be positive, got {max_points} and {max_pillars}")
    pillars = voxelize(cells, grid_shape)
    inside = pillars.inverse < len(pillars.coords)
    feats, inverse = feats[inside], pillars.inverse[inside]  # (K, F), (K,)
    by_pillar = inverse.argsort(stable=True)
    starts = pillars.counts.cumsum(0) - pillars.counts  # (N,)
    rank = torch.empty_like(inverse)
    rank[by_pillar] = torch.arange(len(inverse), device=inverse.device) - starts.repeat_interleave(pillars.counts)
    order = by_pillar[starts].argsort()[:max_pillars]  # pillars by the index of their first point
    slot = torch.full_like(pillars.counts, -1)
    slot[order] = torch.arange(len(order), device=order.device)
    kept = (rank < max_points) & (slot[inverse] >= 0)
    padded = feats.new_zeros(len(order), max_points, feats.shape[1])
    padded = padded.index_put((slot[inverse[kept]], rank[kept]), feats[kept])
    return HardPillars(padded, pillars.coords[order], pillars.counts[order].clamp(max=max_points))


def scatter_to_canvas(feats: Tensor, cells: Tensor, grid_shape: tuple[int, int, int], reduce: str = "max") -> Tensor:
    """Reduce point features straight into a dense BEV; every shape is known beforehand, so it exports.

    Args:
        feats: (M, F) float; differentiable.
        cells: (M, 3) int64 (batch, row, col); points outside are dropped.
        grid_shape: (B, H, W).
        reduce: "sum", "mean" or "max"; among equal maxima the gradient is shared.

    Returns:
        (B, F, H, W), zero where no point fell.
    """
    _check("scatter_to_canvas", feats, cells)
    if reduce not in REDUCTIONS:
        raise ValueError(f"reduce must be one of {tuple(REDUCTIONS)}, got {reduce!r}")
    batch, height, width = grid_shape
    ids = flat_cell_ids(cells, grid_shape)
    canvas = _reduce_rows(feats, ids, batch * height * width + 1, reduce)[:-1]
    return canvas.view(batch, height, width, -1).permute(0, 3, 1, 2)


def _reduce_rows(feats: Tensor, ids: Tensor, num_rows: int, reduce: str) -> Tensor:
    index = ids[:, None].expand_as(feats)
    zeros = feats.new_zeros(num_rows, feats.shape[1])
    if reduce == "max":
        # ONNX has no include_self=False: start from the lowest number and clear what stayed there
        lowest = torch.finfo(feats.dtype).min
        reduced = (zeros + lowest).scatter_reduce(0, index, feats, "amax", include_self=True)
        return torch.where(reduced == lowest, 0.0, reduced)
    total = zeros.scatter_add(0, index, feats)
    if reduce == "sum":
        return total
    counts = zeros[:, :1].scatter_add(0, ids[:, None], torch.ones_like(feats[:, :1]))
    return total / counts.clamp(min=1)


def gather_from_canvas(canvas: Tensor, cells: Tensor) -> Tensor:
    """Read each point's cell of a dense BEV: the way back from :func:`scatter_to_canvas`.

    Args:
        canvas: (B, F, H, W); differentiable.
        cells: (M, 3) int64 (batch, row, col).

    Returns:
        (M, F), zero for a point outside.
    """
    batch, channels, height, width = canvas.shape
    ids = flat_cell_ids(cells, (batch, height, width))
    inside = ids < batch * height * width
    rows = canvas.permute(0, 2, 3, 1).reshape(-1, channels)
    return rows.index_select(0, torch.where(inside, ids, 0)) * inside[:, None]
