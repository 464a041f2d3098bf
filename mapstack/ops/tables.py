"""Segment sums from gather tables that somebody else computed: products, gathers and short sums, and nothing else.

For exported graphs: no sort, no scatter, no sum that threads could race for, and only operators that every ONNX runtime
has. :mod:`mapstack.export.tables` makes the tables, in NumPy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["BEVPoolTables", "CanvasTables", "reduce_by_tables"]

NUM_LEVELS = 3
POOL, PILLAR = "pool_", "pillar_"  # of the tables' names among a model's inputs


def reduce_by_tables(rows: Tensor, levels: Sequence[Tensor], wanted: Tensor, reduce: str = "sum") -> Tensor:
    """Reduce rows by segments of any length with tables of fixed width, level by level.

    Args:
        rows: (M, C).
        levels: int32 (N, K): each of N results takes K of what the level before made (the first level: of ``rows``),
            counted from 1; 0 takes nothing.
        wanted: int32 (B, S): results of all levels one after the other, counted from 1; 0 is zero.
        reduce: "sum" or "max".

    Returns:
        (B, S, C).
    """
    if reduce not in ("sum", "max"):
        raise ValueError(f"reduce must be sum or max, got {reduce!r}")
    nothing = rows.new_full((1, rows.shape[1]), 0.0 if reduce == "sum" else torch.finfo(rows.dtype).min)
    results = [rows.new_zeros(1, rows.shape[1])]
    for table in levels:
        taken = F.embedding(table, torch.cat([nothing, rows]))  # (N, K, C); exports as Gather, an index as GatherND
        rows = taken.sum(1) if reduce == "sum" else taken.amax(1)
        results.append(rows)
    return F.embedding(wanted, torch.cat(results))


def _levels(inputs: Mapping[str, Tensor], prefix: str) -> tuple[Tensor, ...]:
    return tuple(inputs[f"{prefix}level{i}"] for i in range(NUM_LEVELS))


@dataclass(frozen=True)
class BEVPoolTables:
    """Where depth bins go, as tables.

    Points of one camera column at one depth lie above each other and mostly share a cell: they are summed by a matrix
    product first. Where a column's points fall into several cells (a camera that leans), they form G groups.

    Args:
        mask: (B, V, W, G, D, H) float, 1 where a frustum point belongs to the group, 0 elsewhere and outside the grid.
        levels: tables of :func:`reduce_by_tables`, whose rows are (B, V, W, G, D) flattened.
        cells: (B, Hb * Wb) int32, which sum each cell takes.
        grid_shape: (Hb, Wb).
    """

    mask: Tensor
    levels: tuple[Tensor, ...]
    cells: Tensor
    grid_shape: tuple[int, int]

    @classmethod
    def from_inputs(cls, inputs: Mapping[str, Tensor], grid_shape: tuple[int, int]) -> "BEVPoolTables | None":
        """The tables among a model's inputs; None where there are none."""
        if f"{POOL}mask" not in inputs:
            return None
        return cls(inputs[f"{POOL}mask"], _levels(inputs, POOL), inputs[f"{POOL}cells"], grid_shape)

    def pool(self, depth: Tensor, context: Tensor) -> Tensor:
        """As :func:`mapstack.ops.bev_pool_depth`: (B, V, D, H, W) and (B, V, C, H, W) to (B, C, Hb, Wb)."""
        weights = depth.permute(0, 1, 4, 2, 3).unsqueeze(3) * self.mask  # (B, V, W, G, D, H)
        columns = weights.flatten(3, 4) @ context.permute(0, 1, 4, 3, 2)  # (B, V, W, G D, C)
        sums = reduce_by_tables(columns.flatten(0, 3), self.levels, self.cells)
        return sums.unflatten(1, self.grid_shape).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class CanvasTables:
    """Which points fall into each cell of a canvas, as tables.

    Args:
        points: (M,) int32 cell of each point, counted from 1 through the batch; 0 outside.
        levels: tables of :func:`reduce_by_tables`, whose rows are the points.
        cells: (B, rows * cols) int32, which result each cell takes.
        counts: (B, rows * cols) float, points in each cell.
        shape: (rows, cols).
    """

    points: Tensor
    levels: tuple[Tensor, ...]
    cells: Tensor
    counts: Tensor
    shape: tuple[int, int]

    @classmethod
    def from_inputs(cls, inputs: Mapping[str, Tensor], shape: tuple[int, int]) -> "CanvasTables | None":
        """The tables among a model's inputs; None where there are none."""
        if f"{PILLAR}points" not in inputs:
            return None
        named = {name: inputs[PILLAR + name] for name in ("points", "cells", "counts")}
        return cls(levels=_levels(inputs, PILLAR), shape=shape, **named)

    def scatter(self, feats: Tensor, reduce: str) -> Tensor:
        """As :func:`mapstack.ops.scatter_to_canvas`: (M, F) to (B, F, rows, cols), by "sum", "mean" or "max"."""
        result = reduce_by_tables(feats, self.levels, self.cells, "max" if reduce == "max" else "sum")
        if reduce == "mean":
            result = result / self.counts.clamp(min=1)[..., None]
        return result.unflatten(1, self.shape).permute(0, 3, 1, 2)

    def gather(self, canvas: Tensor) -> Tensor:
        """As :func:`mapstack.ops.gather_from_canvas`: (B, F, rows, cols) to (M, F), zero for a point outside."""
        rows = canvas.permute(0, 2, 3, 1).flatten(0, 2)
        return F.embedding(self.points, torch.cat([torch.zeros_like(rows[:1]), rows]))

    def count(self) -> Tensor:
        """(B, 1, rows, cols) points in each cell."""
        return self.counts.unflatten(1, self.shape).unsqueeze(1)
