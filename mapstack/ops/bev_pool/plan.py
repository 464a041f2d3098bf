"""The geometry of a BEV pool, computed once per calibration and reused for every frame."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["BEVPoolPlan", "BEVPoolPlanCache", "SortedPoints", "flat_cell_ids", "round_cells"]

ROUNDINGS = ("floor", "truncate")


def round_cells(cells: Tensor, rounding: str = "floor") -> Tensor:
    """Turn fractional cell coordinates into int64 indices; integers pass unchanged.

    Args:
        cells: (..., N) integers, or floats in units of cells.
        rounding: "floor", or "truncate" for parity with the published BEV pools, which
            pull whatever lies up to one cell outside the low edge into cell 0.

    Returns:
        (..., N) int64; NaN and infinities become -1, outside of every grid.
    """
    if rounding not in ROUNDINGS:
        raise ValueError(f"rounding must be one of {ROUNDINGS}, got {rounding!r}")
    if not cells.is_floating_point():
        return cells.long()
    rounded = cells.floor() if rounding == "floor" else cells.trunc()
    limit = 2.0**31  # beyond it the conversion to an integer is undefined
    return torch.where(rounded.abs() < limit, rounded, -1.0).long()


def flat_cell_ids(cells: Tensor, grid_shape: tuple[int, int, int]) -> Tensor:
    """Number the cells of ``grid_shape`` in memory order.

    Args:
        cells: (..., 3) int64 (batch, row, col).
        grid_shape: (B, H, W).

    Returns:
        (...) int64 in [0, B * H * W]; a point outside the grid gets B * H * W, one past the last cell.
    """
    batch, height, width = grid_shape
    limits = torch.tensor([batch, height, width], device=cells.device)
    inside = ((cells >= 0) & (cells < limits)).all(-1)
    ids = (cells[..., 0] * height + cells[..., 1]) * width + cells[..., 2]
    return torch.where(inside, ids, batch * height * width)


class SortedPoints(NamedTuple):
    """The K frustum points that lie inside the grid, cell by cell.

    ``depth_ids`` (K,) int32, flat index into the depth; ``pixel_ids`` (K,) int32, flat index into the
    (B * V * H * W) feature rows; ``offsets`` (B * Hb * Wb + 1,) int32, where each cell's points begin, the last is K.
    """

    depth_ids: Tensor
    pixel_ids: Tensor
    offsets: Tensor


@dataclass(frozen=True)
class BEVPoolPlan:
    """Which frustum points fall into which BEV cell: made once, used until the calibration changes.

    Make one with :meth:`build`.

    Args:
        grid_shape: (B, Hb, Wb) of the BEV.
        frustum_shape: (B, V, D, H, W) of the depth.
        cell_ids: (B * V * D * H * W,) int32, in the memory order of the depth; B * Hb * Wb where a point is outside.
    """

    grid_shape: tuple[int, int, int]
    frustum_shape: tuple[int, int, int, int, int]
    cell_ids: Tensor

    @classmethod
    def build(cls, cells: Tensor, grid_shape: tuple[int, int, int], *, rounding: str = "floor") -> "BEVPoolPlan":
        """Find the cell of every frustum point.

        Args:
            cells: (B, V, D, H, W, 3) (batch, row, col); int64, or float in units of cells. Points outside
                the grid are dropped.
            grid_shape: (B, Hb, Wb).
            rounding: how float cells become indices, see :func:`round_cells`.

        Raises:
            ValueError: the shapes do not fit, or there are 2**31 points or more.
        """
        grid_shape = tuple(int(size) for size in grid_shape)
        if cells.ndim != 6 or cells.shape[-1] != 3 or len(grid_shape) != 3:
            raise ValueError(
                f"BEVPoolPlan wants cells (B, V, D, H, W, 3) and a grid (B, Hb, Wb), got {tuple(cells.shape)} "
                f"and {grid_shape}"
            )
        if max(math.prod(grid_shape), math.prod(cells.shape[:5])) >= 2**31:
            raise ValueError(f"{tuple(cells.shape[:5])} points, {grid_shape} cells: a plan indexes with 32 bits")
        ids = flat_cell_ids(round_cells(cells, rounding), grid_shape)
        return cls(grid_shape, tuple(cells.shape[:5]), ids.reshape(-1).int())

    @cached_property
    def sorted_points(self) -> SortedPoints:
        """The points sorted by cell: computed when a backend first asks, which the reference never does.

        Within a cell they are in the order of their feature rows, so every sum has one fixed order.
        """
        _, _, depth_bins, height, width = self.frustum_shape
        # column by column, so that the feature rows which one cell sums lie close together in memory
        by_pixel = self.cell_ids.view(self.frustum_shape).permute(0, 1, 4, 3, 2).reshape(-1)
        sorted_ids, order = by_pixel.sort(stable=True)
        cells = torch.arange(math.prod(self.grid_shape) + 1, device=order.device, dtype=torch.int32)
        offsets = torch.searchsorted(sorted_ids, cells, out_int32=True)
        if not torch.compiler.is_compiling():
            order = order[: int(offsets[-1])]  # past it lie the points outside, which nobody reads
        depth_bin, column_row = order % depth_bins, order // depth_bins
        row, column_view = column_row % height, column_row // height
        in_view = row * width + column_view % width
        view = column_view // width
        pixel_ids = view * (height * width) + in_view
        depth_ids = (view * depth_bins + depth_bin) * (height * width) + in_view
        return SortedPoints(depth_ids.int(), pixel_ids.int(), offsets)

    def to(self, device: torch.device | str) -> "BEVPoolPlan":
        """The same plan on another device."""
        return BEVPoolPlan(self.grid_shape, self.frustum_shape, self.cell_ids.to(device))


class BEVPoolPlanCache:
    """Keep the last plan, and build another as soon as calibration or augmentation differs.

    Hold one on the module. Comparing the few matrices costs microseconds, building milliseconds.
    """

    def __init__(self) -> None:
        self._key: tuple[Tensor, ...] = ()
        self._plan: BEVPoolPlan | None = None

    def get(self, key: Sequence[Tensor], build: Callable[[], BEVPoolPlan]) -> BEVPoolPlan:
        """Return the kept plan if every tensor of ``key`` equals the last call's, else keep ``build()``.

        Args:
            key: whatever the cells are computed from: intrinsics, extrinsics, augmentation matrices.
            build: makes the plan from them.
        """
        if torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export():
            return build()  # a traced graph must not remember one calibration
        if self._plan is None or not self._same(key):
            self._plan, self._key = build(), tuple(tensor.detach().clone() for tensor in key)
        return self._plan

    def _same(self, key: Sequence[Tensor]) -> bool:
        return len(key) == len(self._key) and all(
            new.device == old.device and new.shape == old.shape and new.dtype == old.dtype and torch.equal(new, old)
            for new, old in zip(key, self._key, strict=True)
        )
