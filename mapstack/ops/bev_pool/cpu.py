"""BEV pooling by the C++ library, on a CPU: see :mod:`mapstack.ops.bev_pool.compiled`."""

from .compiled import bev_pool, bev_pool_depth

__all__ = ["bev_pool", "bev_pool_depth"]
