"""Ops: each is a contract, a reference that says what it means, and faster backends.

Importing this builds nothing; a backend is compiled when it is first asked for.
"""

from ._backends import available_backends
from .bev_pool import BEVPoolPlan, BEVPoolPlanCache, bev_pool, bev_pool_depth, round_cells
from .deform_attn import multi_scale_deformable_attention
from .tables import BEVPoolTables, CanvasTables
from .voxelize import (
    HardPillars,
    Pillars,
    PointCells,
    gather_from_canvas,
    scatter_pillars,
    scatter_to_canvas,
    voxelize,
    voxelize_hard,
)

__all__ = [
    "BEVPoolPlan",
    "BEVPoolPlanCache",
    "BEVPoolTables",
    "CanvasTables",
    "HardPillars",
    "Pillars",
    "PointCells",
    "available_backends",
    "bev_pool",
    "bev_pool_depth",
    "gather_from_canvas",
    "multi_scale_deformable_attention",
    "round_cells",
    "scatter_pillars",
    "scatter_to_canvas",
    "voxelize",
    "voxelize_hard",
]
