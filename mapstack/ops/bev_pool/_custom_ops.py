"""Custom ops over a set of kernels: what autograd, ``torch.compile`` and ``torch.export`` need to know of them.

The kernels themselves see plain contiguous tensors and no autograd. Two sets exist: the compiled libraries', and
Triton's.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

__all__ = ["Kernels", "PoolOps", "register"]


class Kernels(Protocol):
    """The four kernels of a set; ``rows`` (R, C) are features, outputs have a row per cell."""

    def pool(self, rows: Tensor, row_ids: Tensor, offsets: Tensor, grid_rows: int, grid_cols: int) -> Tensor:
        """Sum each cell's rows: (cells, C)."""

    def gather(self, grad_out: Tensor, cell_ids: Tensor) -> Tensor:
        """Each point's row of (cells, C), zero for a point outside: (M, C)."""

    def pool_depth(
        self, depth: Tensor, rows: Tensor, points: tuple[Tensor, Tensor, Tensor], grid_rows: int, grid_cols: int
    ) -> Tensor:
        """Sum each cell's rows weighted by depth: (cells, C)."""

    def pool_depth_gradients(
        self, grad_out: Tensor, depth: Tensor, rows: Tensor, cell_ids: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Gradients of depth and of rows."""


class PoolOps(NamedTuple):
    """``pool(rows, cell_ids, order, offsets, grid_rows, grid_cols)`` and
    ``pool_depth(depth, rows, cell_ids, depth_ids, row_ids, offsets, grid_rows, grid_cols)``, both (cells, C).
    """

    pool: Callable[..., Tensor]
    pool_depth: Callable[..., Tensor]


def register(prefix: str, kernels: Kernels) -> PoolOps:
    """Register ``mapstack::<prefix>`` and ``mapstack::<prefix>_depth`` with their gradients."""
    return PoolOps(_register_pool(prefix, kernels), _register_pool_depth(f"{prefix}_depth", kernels))


def _register_pool(name: str, kernels: Kernels) -> Callable[..., Tensor]:
    @torch.library.custom_op(f"mapstack::{name}", mutates_args=())
    def pool(rows: Tensor, cell_ids: Tensor, order: Tensor, offsets: Tensor, grid_rows: int, grid_cols: int) -> Tensor:
        return kernels.pool(rows.contiguous(), order, offsets, grid_rows, grid_cols)

    @torch.library.custom_op(f"mapstack::{name}_gradient", mutates_args=())
    def gather(grad_out: Tensor, cell_ids: Tensor) -> Tensor:
        return kernels.gather(grad_out.contiguous(), cell_ids)

    @pool.register_fake
    def _(rows: Tensor, cell_ids: Tensor, order: Tensor, offsets: Tensor, grid_rows: int, grid_cols: int) -> Tensor:
        return rows.new_empty(grid_rows * grid_cols, rows.shape[1])

    @gather.register_fake
    def _(grad_out: Tensor, cell_ids: Tensor) -> Tensor:
        return grad_out.new_empty(cell_ids.shape[0], grad_out.shape[1])

    def keep(ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    def backward(ctx: torch.autograd.function.FunctionCtx, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        return gather(grad_out, *ctx.saved_tensors), None, None, None, None, None

    pool.register_autograd(backward, setup_context=keep)
    return pool


def _register_pool_depth(name: str, kernels: Kernels) -> Callable[..., Tensor]:
    @torch.library.custom_op(f"mapstack::{name}", mutates_args=())
    def pool_depth(
        depth: Tensor,
        rows: Tensor,
        cell_ids: Tensor,
        depth_ids: Tensor,
        row_ids: Tensor,
        offsets: Tensor,
        grid_rows: int,
        grid_cols: int,
    ) -> Tensor:
        points = depth_ids, row_ids, offsets
        return kernels.pool_depth(depth.contiguous(), rows.contiguous(), points, grid_rows, grid_cols)

    @torch.library.custom_op(f"mapstack::{name}_gradients", mutates_args=())
    def gradients(grad_out: Tensor, depth: Tensor, rows: Tensor, cell_ids: Tensor) -> tuple[Tensor, Tensor]:
        return kernels.pool_depth_gradients(grad_out.contiguous(), depth.contiguous(), rows.contiguous(), cell_ids)

    @pool_depth.register_fake
    def _(
        depth: Tensor,
        rows: Tensor,
        cell_ids: Tensor,
        depth_ids: Tensor,
        row_ids: Tensor,
        offsets: Tensor,
        grid_rows: int,
        grid_cols: int,
    ) -> Tensor:
        return rows.new_empty(grid_rows * grid_cols, rows.shape[1])

    @gradients.register_fake
    def _(grad_out: Tensor, depth: Tensor, rows: Tensor, cell_ids: Tensor) -> tuple[Tensor, Tensor]:
        return depth.new_empty(depth.shape), rows.new_empty(rows.shape)

    def keep(ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:3])

    def backward(ctx: torch.autograd.function.FunctionCtx, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        depth_grad, rows_grad = gradients(grad_out, *ctx.saved_tensors)
        return depth_grad, rows_grad, None, None, None, None, None, None

    pool_depth.register_autograd(backward, setup_context=keep)
    return pool_depth
