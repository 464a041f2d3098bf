"""Group LiDAR points by the cell they fall into: pillars, with no compiled op of mmcv's.

Two forms. **Pillars**: only the cells that hold a point, a list whose length depends on the data
(:func:`voxelize`, :func:`voxelize_hard`). **Canvas**: the whole BEV, shapes known beforehand, which is
what ONNX and compilers want (:func:`scatter_to_canvas`, :func:`gather_from_canvas`).
Cells are integers; for voxels of several heights put the height bin into the batch index.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from .._backends import pick
from ..bev_pool.plan import flat_cell_ids
from . import reference

__all__ = [
    "HardPillars",
    "Pillars",
    "PointCells",
    "gather_from_canvas",
    "scatter_pillars",
    "scatter_to_canvas",
    "voxelize",
    "voxelize_hard",
]

REDUCTIONS = ("sum", "mean", "max")


class Pillars(NamedTuple):
    """The N occupied cells among M points.

    ``coords`` (N, 3) int64 (batch, row, col) in memory order; ``inverse`` (M,) int64, the pillar of each
    point, N for a point outside the grid; ``counts`` (N,) int64, points in each pillar.
    """

    coords: Tensor
    inverse: Tensor
    counts: Tensor


class HardPillars(NamedTuple):
    """At most P points of each of at most N cells.

    ``feats`` (N, P, F), zero on padding; ``coords`` (N, 3) int64 (batch, row, col); ``counts`` (N,) int64,
    the points kept.
    """

    feats: Tensor
    coords: Tensor
    counts: Tensor


def _check(name: str, feats: Tensor, cells: Tensor, reduce: str = "sum") -> None:
    if feats.ndim != 2 or cells.shape != (feats.shape[0], 3):
        raise ValueError(f"{name} wants (M, F) and (M, 3), got {tuple(feats.shape)} and {tuple(cells.shape)}")
    if reduce not in REDUCTIONS:
        raise ValueError(f"{name}: reduce must be one of {REDUCTIONS}, got {reduce!r}")


def voxelize(cells: Tensor, grid_shape: tuple[int, int, int]) -> Pillars:
    """Group points by cell: dynamic pillars, no point dropped but those outside.

    Args:
        cells: (M, 3) int64 (batch, row, col).
        grid_shape: (B, H, W).

    Returns:
        The occupied cells; see :class:`Pillars`. No point inside gives N = 0.
    """
    if cells.ndim != 2 or cells.shape[1] != 3:
        raise ValueError(f"voxelize wants cells (M, 3), got {tuple(cells.shape)}")
    return Pillars(*reference.voxelize(cells, grid_shape))


def scatter_pillars(feats: Tensor, pillars: Pillars, reduce: str = "mean", backend: str = "auto") -> Tensor:
    """Reduce point features to one row per pillar.

    Args:
        feats: (M, F) float; differentiable.
        pillars: of the same M points.
        reduce: "sum", "mean" or "max". Among equal maxima the reference shares the gradient; "cpu" gives it to the
            first point.
        backend: "auto", or one of :func:`mapstack.ops.available_backends`.

    Returns:
        (N, F).
    """
    if feats.ndim != 2 or len(feats) != len(pillars.inverse) or reduce not in REDUCTIONS:
        raise ValueError(
            f"scatter_pillars wants (M, F) for {len(pillars.inverse)} points and reduce in {REDUCTIONS}, "
            f"got {tuple(feats.shape)} and {reduce!r}"
        )
    implementation = pick("voxelize", backend, feats.device)
    return implementation.scatter_rows(feats, pillars.inverse, len(pillars.coords), reduce)


def voxelize_hard(
    feats: Tensor, cells: Tensor, grid_shape: tuple[int, int, int], *, max_points: int, max_pillars: int
) -> HardPillars:
    """Keep the first ``max_points`` points of each of the first ``max_pillars`` cells that a point enters.

    The order of the points decides, as in the published voxelizers; the result is deterministic.

    Args:
        feats: (M, F) float; differentiable.
        cells: (M, 3) int64 (batch, row, col).
        grid_shape: (B, H, W).
        max_points: P, at least 1.
        max_pillars: at least 1; counted over the whole batch.

    Returns:
        See :class:`HardPillars`; pillars in the order of their first point.
    """
    _check("voxelize_hard", feats, cells)
    if max_points < 1 or max_pillars < 1:
        raise ValueError(f"max_points and max_pillars must be positive, got {max_points} and {max_pillars}")
    return HardPillars(*reference.voxelize_hard(feats, cells, grid_shape, max_points, max_pillars))


def scatter_to_canvas(
    feats: Tensor, cells: Tensor, grid_shape: tuple[int, int, int], reduce: str = "max", backend: str = "auto"
) -> Tensor:
    """Reduce point features straight into a dense BEV; every shape is known beforehand, so it exports.

    Args:
        feats: (M, F) float; differentiable.
        cells: (M, 3) int64 (batch, row, col); points outside are dropped.
        grid_shape: (B, H, W).
        reduce: "sum", "mean" or "max". Among equal maxima the reference shares the gradient; "cpu" gives it to the
            first point.
        backend: "auto", or one of :func:`mapstack.ops.available_backends`.

    Returns:
        (B, F, H, W), zero where no point fell.
    """
    _check("scatter_to_canvas", feats, cells, reduce)
    batch, height, width = grid_shape
    implementation = pick("voxelize", backend, feats.device)
    rows = implementation.scatter_rows(feats, flat_cell_ids(cells, grid_shape), batch * height * width, reduce)
    return rows.view(batch, height, width, -1).permute(0, 3, 1, 2)


class PointCells:
    """Points and their cells: what :class:`mapstack.ops.CanvasTables` is where somebody else grouped the points.

    Args:
        cells: (M, 3) int64 (batch, row, col); points outside are dropped.
        grid_shape: (B, H, W).
        z: (M, 1) metres, heights of the points.
    """

    def __init__(self, cells: Tensor, grid_shape: tuple[int, int, int], z: Tensor) -> None:
        self._cells, self._grid_shape = cells, grid_shape
        self.mean_z = gather_from_canvas(self._scatter(z, "mean"), cells)

    def _scatter(self, feats: Tensor, reduce: str) -> Tensor:
        return scatter_to_canvas(feats, self._cells, self._grid_shape, reduce)

    def max_and_mean(self, feats: Tensor) -> tuple[Tensor, Tensor]:
        """Largest and mean of (M, F) ``feats`` in each cell: (B, F, H, W) twice, zero where no point fell."""
        return self._scatter(feats, "max"), self._scatter(feats, "mean")

    def count(self) -> Tensor:
        """(B, 1, H, W) float, points in each cell."""
        return self._scatter(torch.ones_like(self._cells[:, :1], dtype=self.mean_z.dtype), "sum")


def gather_from_canvas(canvas: Tensor, cells: Tensor) -> Tensor:
    """Read each point's cell of a dense BEV: the way back from :func:`scatter_to_canvas`.

    Args:
        canvas: (B, F, H, W); differentiable.
        cells: (M, 3) int64 (batch, row, col).

    Returns:
        (M, F), zero for a point outside.
    """
    if canvas.ndim != 4 or cells.ndim != 2 or cells.shape[1] != 3:
        raise ValueError(f"gather_from_canvas wants (B, F, H, W) and (M, 3), got {canvas.shape} and {cells.shape}")
    return reference.gather_from_canvas(canvas, cells)
