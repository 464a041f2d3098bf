"""What BEV pooling means, in plain PyTorch: any device, differentiable, and the form that ONNX export traces."""

import math

import torch
from torch import Tensor

from .._onnx import segments_of, sum_segments
from .plan import BEVPoolPlan, flat_cell_ids

__all__ = ["bev_pool", "bev_pool_depth"]


def _as_bev(rows: Tensor, grid_shape: tuple[int, int, int]) -> Tensor:
    return rows.unflatten(0, grid_shape).permute(0, 3, 1, 2)


def _scatter(rows: Tensor, ids: Tensor, grid_shape: tuple[int, int, int]) -> Tensor:
    batch, height, width = grid_shape
    # one row more than there are cells takes whatever lies outside, so no shape depends on the data
    pooled = rows.new_zeros(batch * height * width + 1, rows.shape[1])
    return _as_bev(pooled.index_put((ids,), rows, accumulate=True)[:-1], grid_shape)


def bev_pool(feats: Tensor, cells: Tensor, grid_shape: tuple[int, int, int]) -> Tensor:
    """See :func:`mapstack.ops.bev_pool.bev_pool`."""
    ids = flat_cell_ids(cells, grid_shape)
    if torch.onnx.is_in_onnx_export():
        segments = segments_of(ids, math.prod(grid_shape))
        return _as_bev(sum_segments(feats[segments.order], segments), grid_shape)
    return _scatter(feats, ids, grid_shape)


def bev_pool_depth(depth: Tensor, context: Tensor, plan: BEVPoolPlan) -> Tensor:
    """See :func:`mapstack.ops.bev_pool.bev_pool_depth`."""
    dtype = torch.promote_types(depth.dtype, context.dtype)
    wide = torch.promote_types(dtype, torch.float32)
    if torch.onnx.is_in_onnx_export():
        return _as_bev(_pool_sorted(depth.to(wide), context.to(wide), plan), plan.grid_shape).to(dtype)
    lifted = depth.to(wide).unsqueeze(-1) * context.to(wide).permute(0, 1, 3, 4, 2).unsqueeze(2)  # (B, V, D, H, W, C)
    return _scatter(lifted.flatten(0, 4), plan.cell_ids.long(), plan.grid_shape).to(dtype)


def _pool_sorted(depth: Tensor, context: Tensor, plan: BEVPoolPlan) -> Tensor:
    """(cells, C), the frustum made once, in the order of its cells."""
    _, _, depth_bins, height, width = plan.frustum_shape
    segments = segments_of(plan.cell_ids.long(), plan.num_cells)
    order, pixels = segments.order, height * width
    view, pixel = order // (depth_bins * pixels), order % pixels
    rows = context.movedim(2, -1).flatten(0, 3)[view * pixels + pixel]  # (B V D H W, C)
    return sum_segments(rows * depth.reshape(-1)[order][:, None], segments)
