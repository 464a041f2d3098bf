"""BEV pooling by ``F.embedding_bag``: every device, nothing to compile, the frustum never made."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .plan import BEVPoolPlan, flat_cell_ids

__all__ = ["bev_pool", "bev_pool_depth"]


def _bags(rows: Tensor, ids: Tensor, offsets: Tensor, weights: Tensor | None, shape: tuple[int, int, int]) -> Tensor:
    pooled = F.embedding_bag(
        ids, rows, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True
    )  # (B * H * W, C)
    return pooled.view(*shape, -1).permute(0, 3, 1, 2)


def bev_pool(feats: Tensor, cells: Tensor, grid_shape: tuple[int, int, int]) -> Tensor:
    """See :func:`mapstack.ops.bev_pool.bev_pool`."""
    num_cells = grid_shape[0] * grid_shape[1] * grid_shape[2]
    sorted_ids, order = flat_cell_ids(cells, grid_shape).sort(stable=True)
    offsets = torch.searchsorted(sorted_ids, torch.arange(num_cells + 1, device=feats.device))
    wide = torch.promote_types(feats.dtype, torch.float32)
    return _bags(feats.to(wide), order[: int(offsets[-1])], offsets, None, grid_shape).to(feats.dtype)


def bev_pool_depth(depth: Tensor, context: Tensor, plan: BEVPoolPlan) -> Tensor:
    """See :func:`mapstack.ops.bev_pool.bev_pool_depth`."""
    dtype = torch.promote_types(depth.dtype, context.dtype)
    wide = torch.promote_types(dtype, torch.float32)
    rows = context.to(wide).permute(0, 1, 3, 4, 2).flatten(0, 3)  # (B * V * H * W, C)
    points = plan.sorted_points
    weights = depth.to(wide).reshape(-1).index_select(0, points.depth_ids)
    return _bags(rows.contiguous(), points.pixel_ids, points.offsets, weights, plan.grid_shape).to(dtype)
