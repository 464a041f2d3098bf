"""BEV pooling by ``F.embedding_bag``: every device, nothing to compile, the frustum never made."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .plan import BEVPoolPlan, feature_rows, flat_cell_ids

__all__ = ["bev_pool", "bev_pool_depth"]


def bev_pool(feats: Tensor, cells: Tensor, grid_shape: tuple[int, int, int]) -> Tensor:
    """See :func:`mapstack.ops.bev_pool.bev_pool`."""
    num_cells = grid_shape[0] * grid_shape[1] * grid_shape[2]
    sorted_ids, order = flat_cell_ids(cells, grid_shape).sort(stable=True)
    # one bag more than there are cells holds what lies outside, so no shape depends on the data
    offsets = torch.searchsorted(sorted_ids, torch.arange(num_cells + 2, device=feats.device))
    rows = feats.to(torch.promote_types(feats.dtype, torch.float32))
    pooled = F.embedding_bag(order, rows.contiguous(), offsets, mode="sum", include_last_offset=True)[:-1]
    return pooled.to(feats.dtype).view(*grid_shape, -1).permute(0, 3, 1, 2)


def bev_pool_depth(depth: Tensor, context: Tensor, plan: BEVPoolPlan) -> Tensor:
    """See :func:`mapstack.ops.bev_pool.bev_pool_depth`."""
    dtype = torch.promote_types(depth.dtype, context.dtype)
    wide = torch.promote_types(dtype, torch.float32)
    points = plan.sorted_points()
    weights = depth.to(wide).reshape(-1).index_select(0, points.depth_ids)
    if torch.compiler.is_compiling():  # the points outside were not cut off: see sort_by_torch
        inside = torch.arange(len(weights), device=depth.device) < points.offsets[-1]
        weights = torch.where(inside, weights, 0.0)
    rows = feature_rows(context.to(wide)).contiguous()
    pooled = F.embedding_bag(
        points.row_ids, rows, points.offsets, mode="sum", per_sample_weights=weights, include_last_offset=True
    )
    return pooled.to(dtype).view(*plan.grid_shape, -1).permute(0, 3, 1, 2)
