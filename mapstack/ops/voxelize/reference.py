"""What grouping points by cell means, in plain PyTorch: any device, differentiable, deterministic on the CPU."""

import torch
from torch import Tensor

from .._onnx import scatter_max, segments_of, sum_segments
from ..bev_pool.plan import flat_cell_ids

__all__ = ["gather_from_canvas", "scatter_rows", "voxelize", "voxelize_hard"]


def voxelize(cells: Tensor, grid_shape: tuple[int, int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Coords, inverse and counts: see :func:`mapstack.ops.voxelize.voxelize`."""
    _, height, width = grid_shape
    outside = grid_shape[0] * height * width
    ids, inverse, counts = flat_cell_ids(cells, grid_shape).unique(return_inverse=True, return_counts=True)
    kept = int((ids < outside).sum())  # ids are sorted: the points outside, if any, are the last group
    ids = ids[:kept]
    coords = torch.stack([ids // (height * width), ids // width % height, ids % width], dim=-1)
    return coords, inverse, counts[:kept]


def scatter_rows(feats: Tensor, ids: Tensor, num_rows: int, reduce: str) -> Tensor:
    """Reduce (M, F) by row number to (num_rows, F), zero where there is none; a number of num_rows is left out."""
    if torch.onnx.is_in_onnx_export() and reduce != "max":
        segments = segments_of(ids, num_rows)
        total = sum_segments(feats[segments.order], segments)
        return total if reduce == "sum" else total / (segments.ends - segments.starts).clamp(min=1)[:, None]
    # one row more takes whatever is left out, so no shape depends on the data
    zeros = feats.new_zeros(num_rows + 1, feats.shape[1])
    if reduce == "max":
        # ONNX has no include_self=False: start from the lowest number and clear what stayed there
        lowest = torch.finfo(feats.dtype).min
        reduced = _scatter_max(zeros + lowest, ids, feats)[:-1]
        return torch.where(reduced == lowest, 0.0, reduced)
    total = zeros.index_put((ids,), feats, accumulate=True)[:-1]
    if reduce == "sum":
        return total
    counts = zeros[:, :1].index_put((ids,), torch.ones_like(feats[:, :1]), accumulate=True)[:-1]
    return total / counts.clamp(min=1)


def _scatter_max(rows: Tensor, ids: Tensor, feats: Tensor) -> Tensor:
    if torch.onnx.is_in_onnx_export():
        return scatter_max(rows, ids, feats)
    return rows.scatter_reduce(0, ids[:, None].expand_as(feats), feats, "amax", include_self=True)


def voxelize_hard(
    feats: Tensor, cells: Tensor, grid_shape: tuple[int, int, int], max_points: int, max_pillars: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Feats, coords and counts: see :func:`mapstack.ops.voxelize.voxelize_hard`."""
    coords, inverse, counts = voxelize(cells, grid_shape)
    inside = inverse < len(coords)
    feats, inverse = feats[inside], inverse[inside]  # (K, F), (K,)
    by_pillar = inverse.argsort(stable=True)
    starts = counts.cumsum(0) - counts  # (N,)
    rank = torch.empty_like(inverse)
    rank[by_pillar] = torch.arange(len(inverse), device=inverse.device) - starts.repeat_interleave(counts)
    order = by_pillar[starts].argsort()[:max_pillars]  # pillars by the index of their first point
    slot = torch.full_like(counts, -1)
    slot[order] = torch.arange(len(order), device=order.device)
    kept = (rank < max_points) & (slot[inverse] >= 0)
    padded = feats.new_zeros(len(order), max_points, feats.shape[1])
    padded = padded.index_put((slot[inverse[kept]], rank[kept]), feats[kept])
    return padded, coords[order], counts[order].clamp(max=max_points)


def gather_from_canvas(canvas: Tensor, cells: Tensor) -> Tensor:
    """See :func:`mapstack.ops.voxelize.gather_from_canvas`."""
    batch, channels, height, width = canvas.shape
    ids = flat_cell_ids(cells, (batch, height, width))
    inside = ids < batch * height * width
    rows = canvas.permute(0, 2, 3, 1).reshape(-1, channels)
    return rows.index_select(0, torch.where(inside, ids, 0)) * inside[:, None]
