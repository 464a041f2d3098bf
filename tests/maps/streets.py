"""A small HD map of straight streets, each element a record of its own, in the thousands of metres of real maps."""

from functools import lru_cache

import numpy as np
import shapely

from mapstack.maps import MapLayer, VectorMap

CENTER = np.array([1200.0, 900.0])
BLOCK_M, HALF_M = 80.0, 7.0


@lru_cache
def street_map(blocks: int = 5, height: float | None = None) -> VectorMap:
    """A grid of streets with two dividers and a crossing a block, and the kerbs of the blocks and of the whole."""
    side = blocks * BLOCK_M
    dividers, crossings, centerlines = [], [], []
    for i in range(blocks + 1):
        for j in range(blocks):
            start, end = (j * BLOCK_M + 10.0, i * BLOCK_M), ((j + 1) * BLOCK_M - 10.0, i * BLOCK_M)
            for swap in (False, True):
                line = np.array([start, end])[:, ::-1] if swap else np.array([start, end])
                across = np.array([0.0, 1.7])[:: -1 if swap else 1]
                dividers += [line + across, line - across]
                centerlines.append(line)
                along = np.array([3.0, 0.0])[:: -1 if swap else 1]
                edge = line[0] + 2.0 * along + np.outer([-3.5, 3.5], across) / 1.7 * 1.9
                crossings.append(np.concatenate([edge, edge[::-1] + along]))
    blocks_out = [
        shapely.box(i * BLOCK_M + HALF_M, j * BLOCK_M + HALF_M, (i + 1) * BLOCK_M - HALF_M, (j + 1) * BLOCK_M - HALF_M)
        for i in range(blocks)
        for j in range(blocks)
    ]
    island = shapely.box(side / 2 - 2.0, -1.0, side / 2 + 6.0, 1.0)
    outer = shapely.box(-HALF_M, -HALF_M, side + HALF_M, side + HALF_M)
    rings = [shapely.get_coordinates(box) for box in (outer, *blocks_out, island)]

    def placed(points: np.ndarray) -> np.ndarray:
        moved = np.asarray(points, float) + CENTER
        return moved if height is None else np.column_stack([moved, height + 0.01 * moved[:, 0]])

    return VectorMap(
        {
            "lane_divider": MapLayer.from_lines([placed(line) for line in dividers]),
            "ped_crossing": MapLayer.from_polygons([placed(ring) for ring in crossings]),
            "boundary": MapLayer.from_lines([placed(ring) for ring in rings]),
            "centerline": MapLayer.from_lines([placed(line) for line in centerlines]),
        },
        name="streets",
    )
