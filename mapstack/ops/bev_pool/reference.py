"""What BEV pooling means, in plain PyTorch: any device, differentiable, and the form that ONNX export traces."""

import torch
from torch import Tensor

from .plan import BEVPoolPlan, flat_cell_ids

__all__ = ["bev_pool", "bev_pool_depth"]


def _scatter(rows: Tensor, ids: Tensor, grid_shape: tuple[int, int, int]) -> Tensor:
    batch, height, width = grid_shape
    # one row more than there are cells takes whatever lies outside, so no shape depends on the data
    pooled = rows.new_zeros(batch * height * width + 1, rows.shape[1])
    # exports as ScatterND of whole rows: in ONNX Runtime 20 to 40 times faster than scatter_add's ScatterElements
    pooled = pooled.index_put((ids,), rows, accumulate=True)
    return pooled[:-1].view(batch, height, width, -1).permute(0, 3, 1, 2)


def bev_pool(feats: Tensor, cells: Tensor, grid_shape: tuple[int, int, int]) -> Tensor:
    """See :func:`mapstack.ops.bev_pool.bev_pool`."""
    return _scatter(feats, flat_cell_ids(cells, grid_shape), grid_shape)


def bev_pool_depth(depth: Tensor, context: Tensor, plan: BEVPoolPlan) -> Tensor:
    """See :func:`mapstack.ops.bev_pool.bev_pool_depth`."""
    dtype = torch.promote_types(depth.dtype, context.dtype)
    wide = torch.promote_types(dtype, torch.float32)
    lifted = depth.to(wide).unsqueeze(-1) * context.to(wide).permute(0, 1, 3, 4, 2).unsqueeze(2)  # (B, V, D, H, W, C)
    return _scatter(lifted.flatten(0, 4), plan.cell_ids.long(), plan.grid_shape).to(dtype)
