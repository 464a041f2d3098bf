"""BEV pooling: sum what falls into each cell of the ground, the splat of lift-splat-shoot.

Cells are integers here; metres became cells in :class:`mapstack.geometry.BEVGrid`.
"""

from torch import Tensor

from .._backends import pick
from .plan import BEVPoolPlan, BEVPoolPlanCache, flat_cell_ids, round_cells

__all__ = ["BEVPoolPlan", "BEVPoolPlanCache", "bev_pool", "bev_pool_depth", "flat_cell_ids", "round_cells"]


def bev_pool(feats: Tensor, cells: Tensor, grid_shape: tuple[int, int, int], backend: str = "auto") -> Tensor:
    """Sum every point's feature into its BEV cell.

    Args:
        feats: (M, C) float, one row per lifted point; differentiable.
        cells: (M, 3) int64 (batch, row, col); points outside ``grid_shape`` are dropped.
        grid_shape: (B, H, W).
        backend: "auto", or one of :func:`mapstack.ops.available_backends`.

    Returns:
        (B, C, H, W), zero where no point fell.

    Raises:
        BackendUnavailable: ``backend`` was named and cannot run on ``feats.device``.
    """
    if feats.ndim != 2 or cells.shape != (feats.shape[0], 3):
        raise ValueError(f"bev_pool wants (M, C) and (M, 3), got {tuple(feats.shape)} and {tuple(cells.shape)}")
    return pick("bev_pool", backend, feats.device).bev_pool(feats, cells, grid_shape)


def bev_pool_depth(depth: Tensor, context: Tensor, plan: BEVPoolPlan, backend: str = "auto") -> Tensor:
    """Weight each pixel's feature by its depth distribution and sum it into the BEV, frustum never made.

    Args:
        depth: (B, V, D, H, W) weight of each depth bin; differentiable.
        context: (B, V, C, H, W) feature of each pixel; differentiable.
        plan: where every frustum point falls, for the same (B, V, D, H, W).
        backend: "auto", or one of :func:`mapstack.ops.available_backends`.

    Returns:
        (B, C, Hb, Wb), zero where no point fell; sums are kept in float32 or wider.

    Raises:
        BackendUnavailable: ``backend`` was named and cannot run on ``depth.device``.
    """
    batch, views, depth_bins, height, width = plan.frustum_shape
    expected = (batch, views, context.shape[2], height, width) if context.ndim == 5 else ()
    if depth.shape != plan.frustum_shape or context.shape != expected:
        raise ValueError(
            f"bev_pool_depth: the plan was built for depth {plan.frustum_shape}; got depth {tuple(depth.shape)} "
            f"and context {tuple(context.shape)}"
        )
    if depth.device != context.device or depth.device != plan.cell_ids.device:
        raise ValueError(
            f"bev_pool_depth: depth on {depth.device}, context on {context.device}, plan on {plan.cell_ids.device}; "
            "move the plan with plan.to(device)"
        )
    return pick("bev_pool", backend, depth.device).bev_pool_depth(depth, context, plan)
