"""The geometry of a BEV pool, computed once per calibration and reused for every frame."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = [
    "BEVPoolPlan",
    "BEVPoolPlanCache",
    "SortedPoints",
    "feature_rows",
    "flat_cell_ids",
    "round_cells",
    "sort_by_torch",
]

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


def feature_rows(context: Tensor) -> Tensor:
    """Lay (B, V, C, H, W) features out as (B * V * W * H, C) rows, column by column.

    The points that share a BEV cell mostly come from one image column: their rows are then neighbours in memory.
    """
    return context.permute(0, 1, 4, 3, 2).flatten(0, 3)


class SortedPoints(NamedTuple):
    """The K frustum points that lie inside the grid, cell by cell, and within a cell by feature row and depth bin.

    ``depth_ids`` (K,) int32, flat index into the depth; ``row_ids`` (K,) int32, index into :func:`feature_rows`;
    ``offsets`` (B * Hb * Wb + 1,) int32, where each cell's points begin, the last is K.
    """

    depth_ids: Tensor
    row_ids: Tensor
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
    _sorted: list[SortedPoints] = field(default_factory=list, init=False, repr=False, compare=False)

    @classmethod
    def build(cls, cells: Tensor, grid_shape: tuple[int, int, int], *, rounding: str = "floor") -> "BEVPoolPlan":
        """Find the cell of every frustum point.

        Args:
            cells: (B, V, D, H, W, 3) (batch, row, col); int64, or float in units of cells. Points outside
                the grid are dropped.
            grid_shape: (B, Hb, Wb).
            rounding: how float cells become indices, see :func:`round_cells`.

        Raises:
            ValueError: the shapes do not fit, or there are 2**31 points or cells or more.
        """
        if cells.ndim != 6 or cells.shape[-1] != 3 or len(grid_shape) != 3:
            raise ValueError(
                f"BEVPoolPlan wants cells (B, V, D, H, W, 3) and a grid (B, Hb, Wb), got {tuple(cells.shape)} "
                f"and {grid_shape}"
            )
        batch, rows, cols = grid_shape
        num_frames, views, depth_bins, height, width, _ = cells.shape
        # While tracing, the batch is a symbol, and the comparison would become a limit on it that ONNX cannot state.
        tracing = torch.compiler.is_compiling()
        if not tracing and max(batch * rows * cols, num_frames * views * depth_bins * height * width) >= 2**31:
            raise ValueError(f"{tuple(cells.shape[:5])} points, {grid_shape} cells: a plan indexes with 32 bits")
        ids = flat_cell_ids(round_cells(cells, rounding), grid_shape)
        return cls((batch, rows, cols), (num_frames, views, depth_bins, height, width), ids.reshape(-1).int())

    @property
    def num_cells(self) -> int:
        """B * Hb * Wb."""
        return math.prod(self.grid_shape)

    def sorted_points(self, sort: "Callable[[BEVPoolPlan], SortedPoints] | None" = None) -> SortedPoints:
        """Sort the points by cell: on the first call, which the reference backend never makes, and then kept.

        Args:
            sort: a faster way to the same result as :func:`sort_by_torch`.
        """
        if self._sorted:
            return self._sorted[0]
        points = (sort or sort_by_torch)(self)
        if not torch.compiler.is_compiling():
            self._sorted.append(points)
        return points

    def to(self, device: torch.device | str) -> "BEVPoolPlan":
        """The same plan on another device."""
        return BEVPoolPlan(self.grid_shape, self.frustum_shape, self.cell_ids.to(device))


def sort_by_torch(plan: BEVPoolPlan) -> SortedPoints:
    """Sort a plan's points on any device, in one stable sort."""
    _, _, depth_bins, height, width = plan.frustum_shape
    by_row = plan.cell_ids.view(plan.frustum_shape).permute(0, 1, 4, 3, 2).reshape(-1)
    sorted_ids, order = by_row.sort(stable=True)
    cells = torch.arange(plan.num_cells + 1, device=order.device, dtype=torch.int32)
    offsets = torch.searchsorted(sorted_ids, cells, out_int32=True)
    if not torch.compiler.is_compiling():
        order = order[: int(offsets[-1])]  # past it lie the points outside, which nobody reads
    depth_bin, row_ids = order % depth_bins, order // depth_bins
    row, column = row_ids % height, row_ids // height  # columns are numbered through the views
    view, column = column // width, column % width
    depth_ids = ((view * depth_bins + depth_bin) * height + row) * width + column
    return SortedPoints(depth_ids.int(), row_ids.int(), offsets)


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
