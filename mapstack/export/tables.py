"""Gather tables of BEV pools and pillars, in NumPy: fed to a graph beside what it pools.

A pool's tables follow from the calibration alone and are kept while it stays; pillars' are made for every cloud. The
other half, what the graph does with them, is :mod:`mapstack.ops.tables`.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mapstack.geometry import BEVGrid
from mapstack.geometry.camera import unproject

from .metadata import PoolGeometry

__all__ = ["TABLE_AXES", "PoolTableCache", "frustum_cells", "pillar_tables", "pool_tables", "segment_tables"]

POOL, PILLAR = "pool_", "pillar_"  # as in mapstack.ops.tables, which imports PyTorch
WIDTHS = (4, 8)  # of the first levels' tables; the last level is as wide as the fullest cell needs
LEAST = 2  # length of a dynamic axis: an example of 1 would be taken for a constant at export
TABLE_AXES: dict[str, dict[int, str]] = {
    f"{prefix}{name}": {axis: label.format(prefix) for axis, label in axes.items()}
    for prefix in (POOL, PILLAR)
    for name, axes in {
        "level0": {0: "{}level0_rows"},
        "level1": {0: "{}level1_rows"},
        "level2": {0: "{}level2_rows", 1: "{}level2_width"},
        "cells": {0: "batch"},
    }.items()
} | {
    "pool_mask": {0: "batch", 3: "num_groups"},
    "pillar_mean_z": {0: "num_points"},
    "pillar_counts": {0: "batch"},
}


def frustum_cells(
    intrinsics: NDArray,
    ego_from_camera: NDArray,
    image_size: tuple[int, int],
    pool: PoolGeometry,
    grid: BEVGrid,
) -> NDArray:
    """Which cell each depth bin of each feature cell falls into, to the bit as LSSEncoder's plan has it.

    Args:
        intrinsics: (B, V, 3, 3) float32, of the model's images.
        ego_from_camera: (B, V, 4, 4) float32.
        image_size: (H, W).
        pool: what is lifted.
        grid: the task's; its range is pooled into.

    Returns:
        (B, V, D, h, w) int32 row * cols + col, -1 outside.
    """
    rows, cols = pool.feature_size
    v = (np.arange(rows, dtype=np.float32) + np.float32(0.5)) * np.float32(image_size[0] / rows) - np.float32(0.5)
    u = (np.arange(cols, dtype=np.float32) + np.float32(0.5)) * np.float32(image_size[1] / cols) - np.float32(0.5)
    pixels = np.stack(np.meshgrid(u, v), -1).reshape(-1, 2)
    rays = unproject(pixels, np.ones_like(pixels[:, 0]), intrinsics)  # (B, V, h w, 3)
    bins = np.array(pool.depth_bins, np.float32)[:, None]
    ray_x, ray_y, ray_z = (np.ascontiguousarray(rays[:, :, None, :, i]) * bins for i in range(3))  # (B, V, D, h w)
    pose = ego_from_camera[..., None, None]
    # The products and sums of rotate_exactly, a coordinate at a time: NumPy is slow along an axis of three.
    x, y, z = (
        (pose[:, :, i, 0] * ray_x + pose[:, :, i, 1] * ray_y) + pose[:, :, i, 2] * ray_z + pose[:, :, i, 3]
        for i in range(3)
    )
    low, high = np.array(grid.pc_range, np.float32).reshape(2, 3)
    num_rows, num_cols = grid.with_cell(pool.cell_m).shape
    col, row = (np.floor((at - start) / np.float32(pool.cell_m)) for at, start in ((x, low[0]), (y, low[1])))
    inside = (col >= 0) & (col < num_cols) & (row >= 0) & (row < num_rows) & (z >= low[2]) & (z < high[2])
    cells = np.where(inside, row * np.float32(num_cols) + col, np.float32(-1))  # whole numbers below 2^24
    return cells.astype(np.int32).reshape(*x.shape[:3], rows, cols)


def segment_tables(segments: NDArray, num_segments: int) -> tuple[list[NDArray], NDArray]:
    """Tables for :func:`mapstack.ops.tables.reduce_by_tables`.

    Args:
        segments: (M,) which segment each row belongs to; -1 for none.
        num_segments: S.

    Returns:
        Three int32 tables (N, K), none of them empty, and (S,) int32 where each segment's result stands.
    """
    rows = np.flatnonzero(segments >= 0)
    ids = segments[rows]
    # Of two bytes NumPy sorts by radix, which is several times faster.
    order = np.argsort(ids.astype(np.uint16) if num_segments < 2**16 else ids, kind="stable")
    ids, entries = ids[order], rows[order] + 1  # counted from 1: 0 takes nothing
    wanted = np.zeros(num_segments, np.int64)
    tables, done = [], 0
    for width in (*WIDTHS, None):
        counts = np.bincount(ids, minlength=num_segments)
        width = width or max(int(counts.max(initial=0)), LEAST)
        chunks = -(-counts // width)  # results a segment has on this level
        first = np.cumsum(chunks) - chunks
        rank = np.arange(len(ids)) - (np.cumsum(counts) - counts)[ids]
        place = first[ids] + rank // width
        table = np.zeros((max(int(chunks.sum()), LEAST), width), np.int32)
        table[place, rank % width] = entries
        tables.append(table)
        whole = chunks == 1
        wanted[whole] = done + first[whole] + 1
        done += len(table)
        many = np.flatnonzero(chunks > 1)
        ids = np.repeat(many, chunks[many])
        entries = np.flatnonzero(np.repeat(chunks > 1, chunks)) + 1
    return tables, wanted.astype(np.int32)


def pool_tables(cells: NDArray, num_cells: int) -> dict[str, NDArray]:
    """The graph's pool inputs for (B, V, D, h, w) cells as :func:`frustum_cells` gives them."""
    batch = len(cells)
    columns = np.ascontiguousarray(cells.transpose(0, 1, 4, 2, 3))  # (B, V, W, D, H)
    masks, group_cells = _groups(columns)
    mask, cell = np.stack(masks, 3), np.stack(group_cells, 3)  # (B, V, W, G, D, H) and (B, V, W, G, D)
    frame = np.arange(batch).reshape(-1, 1, 1, 1, 1) * num_cells
    segments = np.where(cell >= 0, frame + cell, -1).reshape(-1)
    levels, wanted = segment_tables(segments, batch * num_cells)
    tables = {f"{POOL}level{i}": table for i, table in enumerate(levels)}
    return {f"{POOL}mask": mask.astype(np.float32), **tables, f"{POOL}cells": wanted.reshape(batch, num_cells)}


def _groups(columns: NDArray) -> tuple[list[NDArray], list[NDArray]]:
    """Split each column of (..., H) cells into groups of one cell, in the order met.

    Returns:
        Of each group which points belong to it, (..., H) bool, and its cell, (...), -1 where a column has fewer groups.
    """
    left = columns >= 0
    masks, cells = [], []
    while left.any() or len(masks) < LEAST:
        first = np.take_along_axis(columns, left.argmax(-1)[..., None], -1)
        masks.append(left & (columns == first))
        cells.append(np.where(left.any(-1), first[..., 0], -1))
        left = left & ~masks[-1]
    return masks, cells


def pillar_tables(points: NDArray, batch: int, grid: BEVGrid) -> dict[str, NDArray]:
    """The graph's pillar inputs.

    Args:
        points: (M, 6) float32 frame, x, y, z ego metres, and two more.
        batch: B.
        grid: whose cells are the pillars; points outside its range, z included, are in none.
    """
    low, high = np.array(grid.pc_range, np.float32).reshape(2, 3)
    rows, cols = grid.shape
    x, y, z = (np.ascontiguousarray(points[:, i]) for i in (1, 2, 3))
    inside = (x >= low[0]) & (x < high[0]) & (y >= low[1]) & (y < high[1]) & (z >= low[2]) & (z < high[2])
    col, row = (np.floor((at - start) / np.float32(grid.cell_m)) for at, start in ((x, low[0]), (y, low[1])))
    inside &= (col >= 0) & (col < cols) & (row >= 0) & (row < rows)  # a point just below the edge may round up to it
    cell = (points[:, 0].astype(np.int64) * rows + np.where(inside, row, 0).astype(np.int64)) * cols
    segments = np.where(inside, cell + np.where(inside, col, 0).astype(np.int64), -1)
    number = batch * rows * cols
    levels, wanted = segment_tables(segments, number)
    counts = np.bincount(segments[inside], minlength=number)
    total_z = np.bincount(segments[inside], z[inside], number)
    mean_z = np.where(inside, total_z[segments] / np.maximum(counts[segments], 1), 0.0)
    return {
        f"{PILLAR}mean_z": mean_z.astype(np.float32)[:, None],
        **{f"{PILLAR}level{i}": table for i, table in enumerate(levels)},
        f"{PILLAR}cells": wanted.reshape(batch, rows * cols),
        f"{PILLAR}counts": counts.astype(np.float32).reshape(batch, rows * cols),
    }


class PoolTableCache:
    """Keeps the tables while the calibration stays, and makes others as soon as a number differs.

    Args:
        image_size: (H, W) of the model's images.
        pool: what is lifted.
        grid: the task's.
    """

    def __init__(self, image_size: tuple[int, int], pool: PoolGeometry, grid: BEVGrid) -> None:
        self._image_size, self._pool, self._grid = image_size, pool, grid
        self._key: tuple[bytes, bytes] | None = None
        self._tables: dict[str, NDArray] = {}
        self.num_made = 0

    def get(self, inputs: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """Tables for a batch's ``intrinsics`` and ``ego_from_camera``."""
        intrinsics, ego_from_camera = inputs["intrinsics"], inputs["ego_from_camera"]
        key = (intrinsics.tobytes(), ego_from_camera.tobytes())
        if key != self._key:
            cells = frustum_cells(intrinsics, ego_from_camera, self._image_size, self._pool, self._grid)
            rows, cols = self._grid.with_cell(self._pool.cell_m).shape
            self._tables, self._key = pool_tables(cells, rows * cols), key
            self.num_made += 1
        return self._tables
