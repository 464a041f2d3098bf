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


def reduce_by_tables(rows: Tensor, levels: Sequence[Tensor], wanted: Tensor) -> Tensor:
    """Sum rows by segments of any length with tables of fixed width, level by level.

    Args:
        rows: (M, C).
        levels: int32 (N, K): each of N results takes K of what the level before made (the first level: of ``rows``),
            counted from 1; 0 takes nothing.
        wanted: int32 (B, S): results of all levels one after the other, counted from 1; 0 is zero.

    Returns:
        (B, S, C).
    """
    (total,) = _reduce([rows], levels, wanted, [False])
    return total


def _reduce(
    starts: Sequence[Tensor], levels: Sequence[Tensor], wanted: Tensor, largest: Sequence[bool]
) -> list[Tensor]:
    """Several reductions by the same tables: sums, or where True, largest rows, which must not be negative.

    Rows that are the same tensor are gathered once, and that is most of the work.
    """
    zero = starts[0].new_zeros(1, starts[0].shape[1])
    current, results = list(starts), [[zero] for _ in starts]
    for table in levels:
        taken: dict[int, Tensor] = {}  # an embedding exports as Gather, an index as GatherND
        for rows in current:
            if id(rows) not in taken:
                taken[id(rows)] = F.embedding(table, torch.cat([zero, rows]))  # (N, K, C)
        pairs = zip(current, largest, strict=True)
        current = [taken[id(rows)].amax(1) if peak else taken[id(rows)].sum(1) for rows, peak in pairs]
        for result, rows in zip(results, current, strict=True):
            result.append(rows)
    return [F.embedding(wanted, torch.cat(result)) for result in results]


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
        mean_z: (M, 1) metres, mean height of the points in the cell of each.
        levels: tables of :func:`reduce_by_tables`, whose rows are the points.
        cells: (B, rows * cols) int32, which result each cell takes.
        counts: (B, rows * cols) float, points in each cell.
        shape: (rows, cols).
    """

    mean_z: Tensor
    levels: tuple[Tensor, ...]
    cells: Tensor
    counts: Tensor
    shape: tuple[int, int]

    @classmethod
    def from_inputs(cls, inputs: Mapping[str, Tensor], shape: tuple[int, int]) -> "CanvasTables | None":
        """The tables among a model's inputs; None where there are none."""
        if f"{PILLAR}mean_z" not in inputs:
            return None
        named = {name: inputs[PILLAR + name] for name in ("mean_z", "cells", "counts")}
        return cls(levels=_levels(inputs, PILLAR), shape=shape, **named)

    def max_and_mean(self, feats: Tensor) -> tuple[Tensor, Tensor]:
        """Largest and mean of (M, F) ``feats``, which must not be negative, in each cell: (B, F, rows, cols) twice."""
        peak, total = _reduce([feats, feats], self.levels, self.cells, [True, False])
        mean = total / self.counts.clamp(min=1)[..., None]
        return self._canvas(peak), self._canvas(mean)

    def count(self) -> Tensor:
        """(B, 1, rows, cols) points in each cell."""
        return self._canvas(self.counts[..., None])

    def _canvas(self, rows: Tensor) -> Tensor:
        return rows.unflatten(1, self.shape).permute(0, 3, 1, 2)
