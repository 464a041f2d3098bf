"""BEV pooling by Triton: for GPUs without nvcc, and other makes than NVIDIA.

Forward, a program owns one cell and some channels and walks the cell's interval; backward, a program owns one
feature row and walks its ray. No atomics, and sums in float32 (float64 for float64 inputs). With TRITON_INTERPRET=1
in the environment before this module is imported, the same code runs on the CPU, for tests.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.runtime.interpreter import InterpretedFunction

from ._custom_ops import register
from .plan import BEVPoolPlan, feature_rows, flat_cell_ids

__all__ = ["bev_pool", "bev_pool_depth"]


# a kernel is handed its memory piece by piece
@triton.jit
def _pool(  # noqa: PLR0913
    weights,
    weight_ids,
    rows,
    row_ids,
    offsets,
    out,
    channels,
    weighted: tl.constexpr,
    sum_type: tl.constexpr,
    block_points: tl.constexpr,
    block_channels: tl.constexpr,
):
    cell = tl.program_id(0).to(tl.int64)
    c = tl.program_id(1) * block_channels + tl.arange(0, block_channels)
    total = tl.zeros([block_channels], sum_type)
    lost = tl.zeros([block_channels], sum_type)
    end = tl.load(offsets + cell + 1)
    for start in range(tl.load(offsets + cell), end, block_points):
        i = start + tl.arange(0, block_points)
        row = tl.load(row_ids + i, mask=i < end, other=0).to(tl.int64)
        mask = (i < end)[:, None] & (c < channels)[None, :]
        values = tl.load(rows + row[:, None] * channels + c[None, :], mask=mask, other=0.0).to(sum_type)
        if weighted:
            weight_id = tl.load(weight_ids + i, mask=i < end, other=0)
            values *= tl.load(weights + weight_id, mask=i < end, other=0.0).to(sum_type)[:, None]
        # Kahan's step, so that a cell of a million points is as exact as one of a few
        term = tl.sum(values, 0) - lost
        next_total = total + term
        lost = (next_total - total) - term
        total = next_total
    tl.store(out + cell * channels + c, total.to(out.dtype.element_ty), mask=c < channels)


@triton.jit
def _gather(grad_out, cell_ids, out, num_points, num_cells, channels, block: tl.constexpr, width: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    c = tl.arange(0, width)
    cell = tl.load(cell_ids + i, mask=i < num_points, other=num_cells).to(tl.int64)
    mask = (cell < num_cells)[:, None] & (c < channels)[None, :]
    values = tl.load(grad_out + cell[:, None] * channels + c[None, :], mask=mask, other=0.0)
    tl.store(out + i[:, None] * channels + c[None, :], values, mask=(i < num_points)[:, None] & (c < channels)[None, :])


@triton.jit
def _gradients(  # noqa: PLR0913
    grad_out,
    depth,
    rows,
    cell_ids,
    depth_grad,
    rows_grad,
    num_bins,
    height,
    width,
    channels,
    num_cells,
    sum_type: tl.constexpr,
    block_bins: tl.constexpr,
    block_channels: tl.constexpr,
):
    row_id = tl.program_id(0).to(tl.int64)  # rows are numbered column by column, depth row by row
    column = row_id // height
    view = column // width
    first = (view * num_bins * height + row_id % height) * width + column % width
    c = tl.arange(0, block_channels)
    feature = tl.load(rows + row_id * channels + c, mask=c < channels, other=0.0).to(sum_type)
    total = tl.zeros([block_channels], sum_type)
    for start in range(0, num_bins, block_bins):
        d = start + tl.arange(0, block_bins)
        point = first + d.to(tl.int64) * height * width
        cell = tl.load(cell_ids + point, mask=d < num_bins, other=num_cells).to(tl.int64)
        mask = (cell < num_cells)[:, None] & (c < channels)[None, :]
        grad = tl.load(grad_out + cell[:, None] * channels + c[None, :], mask=mask, other=0.0).to(sum_type)
        weight = tl.load(depth + point, mask=d < num_bins, other=0.0).to(sum_type)
        dots = tl.sum(grad * feature[None, :], 1)
        tl.store(depth_grad + point, dots.to(depth_grad.dtype.element_ty), mask=d < num_bins)
        total += tl.sum(grad * weight[:, None], 0)
    tl.store(rows_grad + row_id * channels + c, total.to(rows_grad.dtype.element_ty), mask=c < channels)


_INTERPRETED = isinstance(_pool, InterpretedFunction)
_BLOCK_POINTS = 4096 if _INTERPRETED else 32  # the interpreter pays per block, a GPU per idle lane
_BLOCK_BINS = 4096 if _INTERPRETED else 16


def _sum_type(dtype: torch.dtype) -> tl.dtype:
    return tl.float64 if dtype == torch.float64 else tl.float32


class _Triton:
    """The four kernels, and the memory they write to."""

    def pool(self, rows: Tensor, row_ids: Tensor, offsets: Tensor, grid_rows: int, grid_cols: int) -> Tensor:
        return self._pool(None, rows, (row_ids, row_ids, offsets), grid_rows * grid_cols)

    def pool_depth(
        self, depth: Tensor, rows: Tensor, points: tuple[Tensor, Tensor, Tensor], grid_rows: int, grid_cols: int
    ) -> Tensor:
        return self._pool(depth, rows, points, grid_rows * grid_cols)

    def _pool(
        self, depth: Tensor | None, rows: Tensor, points: tuple[Tensor, Tensor, Tensor], num_cells: int
    ) -> Tensor:
        channels = rows.shape[1]
        out = rows.new_empty(num_cells, channels)
        block = min(triton.next_power_of_2(max(channels, 1)), 64)
        if out.numel():
            depth_ids, row_ids, offsets = points
            _pool[(num_cells, triton.cdiv(channels, block))](
                rows if depth is None else depth,
                depth_ids,
                rows,
                row_ids,
                offsets,
                out,
                channels,
                weighted=depth is not None,
                sum_type=_sum_type(rows.dtype),
                block_points=_BLOCK_POINTS,
                block_channels=block,
            )
        return out

    def gather(self, grad_out: Tensor, cell_ids: Tensor) -> Tensor:
        num_cells, channels = grad_out.shape
        out = grad_out.new_empty(len(cell_ids), channels)
        if out.numel():
            width = triton.next_power_of_2(channels)
            blocks = triton.cdiv(len(cell_ids), _BLOCK_POINTS)
            _gather[(blocks,)](
                grad_out, cell_ids, out, len(cell_ids), num_cells, channels, block=_BLOCK_POINTS, width=width
            )
        return out

    def pool_depth_gradients(
        self, grad_out: Tensor, depth: Tensor, rows: Tensor, cell_ids: Tensor
    ) -> tuple[Tensor, Tensor]:
        num_bins, height, width = depth.shape[2:]
        num_cells, channels = grad_out.shape
        depth_grad, rows_grad = torch.empty_like(depth), torch.empty_like(rows)
        if rows.numel():
            _gradients[(len(rows),)](
                grad_out,
                depth,
                rows,
                cell_ids,
                depth_grad,
                rows_grad,
                num_bins,
                height,
                width,
                channels,
                num_cells,
                sum_type=_sum_type(rows.dtype),
                block_bins=min(triton.next_power_of_2(max(num_bins, 1)), _BLOCK_BINS),
                block_channels=triton.next_power_of_2(channels),
            )
        return depth_grad, rows_grad


_ops = register("triton_bev_pool", _Triton())


def bev_pool(feats: Tensor, cells: Tensor, grid_shape: tuple[int, int, int]) -> Tensor:
    """See :func:`mapstack.ops.bev_pool.bev_pool`."""
    batch, height, width = grid_shape
    ids = flat_cell_ids(cells, grid_shape).int()
    sorted_ids, order = ids.sort(stable=True)
    bounds = torch.arange(batch * height * width + 1, device=ids.device, dtype=torch.int32)
    offsets = torch.searchsorted(sorted_ids, bounds, out_int32=True)
    pooled = _ops.pool(feats, ids, order.int(), offsets, batch * height, width)
    return pooled.view(batch, height, width, -1).permute(0, 3, 1, 2)


def bev_pool_depth(depth: Tensor, context: Tensor, plan: BEVPoolPlan) -> Tensor:
    """See :func:`mapstack.ops.bev_pool.bev_pool_depth`."""
    batch, height, width = plan.grid_shape
    dtype = torch.promote_types(depth.dtype, context.dtype)
    pooled = _ops.pool_depth(
        depth.to(dtype), feature_rows(context.to(dtype)), plan.cell_ids, *plan.sorted_points(), batch * height, width
    )
    return pooled.view(batch, height, width, -1).permute(0, 3, 1, 2)
