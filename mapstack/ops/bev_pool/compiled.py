"""BEV pooling by the compiled libraries: one C interface, a C++ library for the CPU and a CUDA one for GPUs.

``cpu`` and ``cuda`` are both this module; which library runs is where the tensors lie.
"""

import ctypes

import torch
from torch import Tensor

from .. import _build
from .._backends import cuda_recipe
from ._custom_ops import register
from .plan import BEVPoolPlan, SortedPoints, feature_rows, flat_cell_ids, sort_by_torch

__all__ = ["bev_pool", "bev_pool_depth", "call", "pool_ops", "sort_frustum", "sort_points"]

DTYPES = {torch.float32: 0, torch.float64: 1, torch.float16: 2, torch.bfloat16: 3}  # mapstack_dtype of the C header


def call(function: str, like: Tensor, *arguments: Tensor | int) -> None:
    """Call the library of ``like``'s device, for ``like``'s dtype; tensors go as pointers, the queue is added."""
    device = like.device
    values = [ctypes.c_void_p(x.data_ptr()) if isinstance(x, Tensor) else ctypes.c_int32(x) for x in arguments]
    dtype = ctypes.c_int(DTYPES[like.dtype])
    if device.type == "cpu":
        library = _build.load(_build.recipe("cpu"))
        code = getattr(library, function)(dtype, *values, ctypes.c_int64(torch.get_num_threads()))
    else:
        library = _build.load(cuda_recipe(device))
        with torch.cuda.device(device):
            stream = ctypes.c_int64(torch.cuda.current_stream(device).cuda_stream)
            code = getattr(library, function)(dtype, *values, stream)
    if code:
        library.mapstack_error.restype = ctypes.c_char_p
        raise RuntimeError(f"{function} on {device}: {library.mapstack_error(code).decode()} (code {code})")


class _Compiled:
    """The library's four kernels, and the memory they write to."""

    def pool(self, rows: Tensor, row_ids: Tensor, offsets: Tensor, grid_rows: int, grid_cols: int) -> Tensor:
        out = rows.new_empty(grid_rows * grid_cols, rows.shape[1])
        call("mapstack_pool", rows, rows, row_ids, offsets, grid_rows, grid_cols, rows.shape[1], out)
        return out

    def gather(self, grad_out: Tensor, cell_ids: Tensor) -> Tensor:
        num_cells, channels = grad_out.shape
        out = grad_out.new_empty(len(cell_ids), channels)
        call("mapstack_gather", grad_out, grad_out, cell_ids, len(cell_ids), num_cells, channels, out)
        return out

    def pool_depth(
        self, depth: Tensor, rows: Tensor, points: tuple[Tensor, Tensor, Tensor], grid_rows: int, grid_cols: int
    ) -> Tensor:
        channels = rows.shape[1]
        out = rows.new_empty(grid_rows * grid_cols, channels)
        depth_ids, row_ids, offsets = points
        arguments = (depth, depth_ids, rows, row_ids, offsets, grid_rows, grid_cols, channels, out)
        call("mapstack_pool_depth", rows, *arguments)
        return out

    def pool_depth_gradients(
        self, grad_out: Tensor, depth: Tensor, rows: Tensor, cell_ids: Tensor
    ) -> tuple[Tensor, Tensor]:
        batch, views, depth_bins, height, width = depth.shape
        num_cells, channels = grad_out.shape
        depth_grad, rows_grad = torch.empty_like(depth), torch.empty_like(rows)
        shape = (batch * views, depth_bins, height, width, channels, num_cells)
        arguments = (grad_out, depth, rows, cell_ids, *shape, depth_grad, rows_grad)
        call("mapstack_pool_depth_gradients", rows, *arguments)
        return depth_grad, rows_grad


pool_ops = register("bev_pool", _Compiled())


@torch.library.custom_op("mapstack::sort_frustum", mutates_args=())
def _sort_frustum(cell_ids: Tensor, frustum_shape: list[int], num_cells: int) -> tuple[Tensor, Tensor, Tensor]:
    batch, views, *rest = frustum_shape
    depth_ids, row_ids = torch.zeros_like(cell_ids), torch.zeros_like(cell_ids)
    offsets = cell_ids.new_empty(num_cells + 1)
    library = _build.load(_build.recipe("cpu"))
    sizes = [ctypes.c_int32(size) for size in (batch * views, *rest, num_cells)]
    pointers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in (depth_ids, row_ids, offsets)]
    library.mapstack_sort_frustum(ctypes.c_void_p(cell_ids.data_ptr()), *sizes, *pointers)
    return depth_ids, row_ids, offsets


@_sort_frustum.register_fake
def _(cell_ids: Tensor, frustum_shape: list[int], num_cells: int) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(cell_ids), torch.empty_like(cell_ids), cell_ids.new_empty(num_cells + 1)


@torch.library.custom_op("mapstack::sort_points", mutates_args=())
def sort_points(cell_ids: Tensor, num_cells: int) -> tuple[Tensor, Tensor]:
    """Point numbers by cell, and where each cell's begin: a counting sort on the CPU of (M,) int32 ids."""
    order, offsets = torch.zeros_like(cell_ids), cell_ids.new_empty(num_cells + 1)
    library = _build.load(_build.recipe("cpu"))
    sizes = ctypes.c_int32(len(cell_ids)), ctypes.c_int32(num_cells)
    pointers = ctypes.c_void_p(order.data_ptr()), ctypes.c_void_p(offsets.data_ptr())
    library.mapstack_sort_points(ctypes.c_void_p(cell_ids.data_ptr()), *sizes, *pointers)
    return order, offsets


@sort_points.register_fake
def _(cell_ids: Tensor, num_cells: int) -> tuple[Tensor, Tensor]:
    return torch.empty_like(cell_ids), cell_ids.new_empty(num_cells + 1)


def sort_frustum(plan: BEVPoolPlan) -> SortedPoints:
    """Sort a plan's points by counting, in one pass over them: what ``sort_by_torch`` gives, ten times sooner."""
    if plan.cell_ids.device.type != "cpu":
        return sort_by_torch(plan)
    points = SortedPoints(*_sort_frustum(plan.cell_ids, list(plan.frustum_shape), plan.num_cells))
    if torch.compiler.is_compiling():
        return points
    kept = int(points.offsets[-1])  # past it lie the points outside, which nobody reads
    return SortedPoints(points.depth_ids[:kept], points.row_ids[:kept], points.offsets)


def _widened(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """The CPU library has no half types; the CUDA one keeps float sums for them itself."""
    return torch.promote_types(dtype, torch.float32) if device.type == "cpu" else dtype


def bev_pool(feats: Tensor, cells: Tensor, grid_shape: tuple[int, int, int]) -> Tensor:
    """See :func:`mapstack.ops.bev_pool.bev_pool`."""
    batch, height, width = grid_shape
    num_cells = batch * height * width
    ids = flat_cell_ids(cells, grid_shape).int()
    if ids.device.type == "cpu":
        order, offsets = sort_points(ids, num_cells)
    else:
        sorted_ids, order = ids.sort(stable=True)
        bounds = torch.arange(num_cells + 1, device=ids.device, dtype=torch.int32)
        order, offsets = order.int(), torch.searchsorted(sorted_ids, bounds, out_int32=True)
    rows = feats.to(_widened(feats.dtype, feats.device))
    pooled = pool_ops.pool(rows, ids, order, offsets, batch * height, width).to(feats.dtype)
    return pooled.view(batch, height, width, -1).permute(0, 3, 1, 2)


def bev_pool_depth(depth: Tensor, context: Tensor, plan: BEVPoolPlan) -> Tensor:
    """See :func:`mapstack.ops.bev_pool.bev_pool_depth`."""
    batch, height, width = plan.grid_shape
    dtype = torch.promote_types(depth.dtype, context.dtype)
    wide = _widened(dtype, depth.device)
    points = plan.sorted_points(sort_frustum)
    pooled = pool_ops.pool_depth(
        depth.to(wide), feature_rows(context.to(wide)), plan.cell_ids, *points, batch * height, width
    )
    return pooled.to(dtype).view(batch, height, width, -1).permute(0, 3, 1, 2)
