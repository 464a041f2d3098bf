"""BEV pooling from gather tables that somebody else computed: products, gathers and short sums, and nothing else.

For exported graphs whose calibration stays: no sort, no scatter, no sum that threads could race for, and only operators
that every ONNX runtime has. :mod:`mapstack.export.pool_tables` makes the tables, in NumPy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["NUM_LEVELS", "PREFIX", "BEVPoolTables", "reduce_by_tables"]

PREFIX = "pool_"  # of the tensors' names among a model's inputs
NUM_LEVELS = 3


@dataclass(frozen=True)
class BEVPoolTables:
    """Where depth bins go, as tables.

    Points of one camera column at one depth lie above each other and mostly share a cell: they are summed by a matrix
    product first. Where a column's points fall into several cells (a camera that leans), they form G groups.

    Args:
        mask: (B, V, W, G, D, H) float, 1 where a frustum point belongs to the group, 0 elsewhere and outside the grid.
        levels: int32 tables (N, K) of rows to add, see :func:`reduce_by_tables`; row r of the base is
            (B, V, W, G, D) flattened.
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
        if f"{PREFIX}mask" not in inputs:
            return None
        levels = tuple(inputs[f"{PREFIX}level{i}"] for i in range(NUM_LEVELS))
        return cls(inputs[f"{PREFIX}mask"], levels, inputs[f"{PREFIX}cells"], grid_shape)

    def pool(self, depth: Tensor, context: Tensor) -> Tensor:
        """As :func:`mapstack.ops.bev_pool_depth`: (B, V, D, H, W) and (B, V, C, H, W) to (B, C, Hb, Wb)."""
        weights = depth.permute(0, 1, 4, 2, 3).unsqueeze(3) * self.mask  # (B, V, W, G, D, H)
        columns = weights.flatten(3, 4) @ context.permute(0, 1, 4, 3, 2)  # (B, V, W, G D, C)
        sums = reduce_by_tables(columns.flatten(0, 3), self.levels, self.cells)
        return sums.unflatten(1, self.grid_shape).permute(0, 3, 1, 2)


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
    nothing = torch.zeros_like(rows[:1]) if reduce == "sum" else torch.full_like(rows[:1], torch.finfo(rows.dtype).min)
    zero = torch.zeros_like(rows[:1])
    results = []
    for table in levels:
        taken = torch.cat([nothing, rows])[table.long()]  # (N, K, C)
        rows = taken.sum(1) if reduce == "sum" else taken.amax(1)
        results.append(rows)
    return torch.cat([zero, *results])[wanted.long()]
