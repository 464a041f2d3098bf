"""BEV pooling by the CUDA library, on an NVIDIA GPU: see :mod:`mapstack.ops.bev_pool.compiled`."""

from .compiled import bev_pool, bev_pool_depth

__all__ = ["bev_pool", "bev_pool_depth"]
