"""What the reference ops trace to for ONNX, which has no segment sum.

``ScatterND`` with a reduction would be the short form, but ONNX Runtime's CPU kernel adds from several threads without
a lock, so rows that meet in one cell get lost (docs/OPS.md); ``ScatterElements`` is right and slow. Hence: sort, and
take differences of running sums.
"""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Segments", "scatter_max", "segments_of", "sum_segments"]

BLOCK = 64  # rows whose running sum starts at zero: what bounds the rounding error


class Segments(NamedTuple):
    """Rows grouped by id: ``order`` (M,) sorts them; group n is sorted rows ``starts[n]`` to ``ends[n]``, each (N,)."""

    order: Tensor
    starts: Tensor
    ends: Tensor


def segments_of(ids: Tensor, num_rows: int) -> Segments:
    """Group (M,) int64 ids in [0, N]; those of N are in no group."""
    _, order = ids.sort()
    counts = ids.new_zeros(num_rows + 1).scatter_add(0, ids, torch.ones_like(ids))
    ends = counts.cumsum(0)
    return Segments(order, (ends - counts)[:-1], ends[:-1])


def sum_segments(rows: Tensor, segments: Segments) -> Tensor:
    """Sum sorted (M, C) rows by group, (N, C)."""
    num_blocks = rows.shape[0] // BLOCK + 1
    # A row of zeros in front: the running sum before row i is then at index i.
    padded = torch.cat([rows.new_zeros(1, rows.shape[1]), rows, rows.new_zeros(BLOCK, rows.shape[1])])
    within = padded[: num_blocks * BLOCK].unflatten(0, (num_blocks, BLOCK)).cumsum(1)
    # Over the blocks the sums grow large and their differences are small: float64, which is cheap for so few.
    totals = within[:, -1].double()
    before = torch.cat([torch.zeros_like(totals[:1]), totals.cumsum(0)])
    within = within.flatten(0, 1)
    starts, ends = segments.starts, segments.ends
    blocks = (before[ends // BLOCK] - before[starts // BLOCK]).to(rows.dtype)
    return blocks + (within[ends] - within[starts])


def scatter_max(rows: Tensor, ids: Tensor, feats: Tensor) -> Tensor:
    """Maximum of (N, F) ``rows`` and the (M, F) ``feats`` of each row's id."""
    # Along the last axis: ONNX Runtime's kernel is then three times faster.
    index = ids[None].expand(feats.shape[1], -1)
    return rows.T.scatter_reduce(1, index, feats.T, "amax", include_self=True).T
