"""Pillars by the C++ library: the points of each cell sorted by counting, then reduced cell by cell.

Any number of threads gives the same bits.
"""

import torch
from torch import Tensor

from ..bev_pool.compiled import call, pool_ops, sort_points

__all__ = ["scatter_rows"]


@torch.library.custom_op("mapstack::pool_max", mutates_args=())
def _pool_max(rows: Tensor, order: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    rows, num_cells, channels = rows.contiguous(), len(offsets) - 1, rows.shape[1]
    out = rows.new_empty(num_cells, channels)
    winners = order.new_empty(num_cells, channels)
    call("mapstack_pool_max", rows, rows, order, offsets, num_cells, channels, out, winners)
    return out, winners


@torch.library.custom_op("mapstack::pool_max_gradient", mutates_args=())
def _pool_max_gradient(grad_out: Tensor, winners: Tensor, num_points: int) -> Tensor:
    grad_out, (num_cells, channels) = grad_out.contiguous(), winners.shape
    rows_grad = grad_out.new_empty(num_points, channels)
    arguments = (grad_out, winners, num_cells, num_points, channels, rows_grad)
    call("mapstack_pool_max_gradient", grad_out, *arguments)
    return rows_grad


@_pool_max.register_fake
def _(rows: Tensor, order: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    shape = offsets.shape[0] - 1, rows.shape[1]
    return rows.new_empty(shape), order.new_empty(shape)


@_pool_max_gradient.register_fake
def _(grad_out: Tensor, winners: Tensor, num_points: int) -> Tensor:
    return grad_out.new_empty(num_points, grad_out.shape[1])


def _keep(ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(output[1])
    ctx.num_points = inputs[0].shape[0]
    ctx.mark_non_differentiable(output[1])


def _backward(ctx: torch.autograd.function.FunctionCtx, grad_out: Tensor, _: Tensor) -> tuple[Tensor, None, None]:
    return _pool_max_gradient(grad_out, *ctx.saved_tensors, ctx.num_points), None, None


_pool_max.register_autograd(_backward, setup_context=_keep)


def scatter_rows(feats: Tensor, ids: Tensor, num_rows: int, reduce: str) -> Tensor:
    """See :func:`mapstack.ops.voxelize.reference.scatter_rows`."""
    ids = ids.int()
    order, offsets = sort_points(ids, num_rows)
    rows = feats.to(torch.promote_types(feats.dtype, torch.float32))
    if reduce == "max":
        reduced, _ = _pool_max(rows, order, offsets)
    else:
        reduced = pool_ops.pool(rows, ids, order, offsets, num_rows, 1)
    if reduce == "mean":
        reduced = reduced / offsets.diff().clamp(min=1)[:, None]
    return reduced.to(feats.dtype)
