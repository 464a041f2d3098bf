"""Random numbers that belong to places: the same for whoever looks, in whatever order, from whatever extract."""

import zlib

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

__all__ = ["TILE_M", "WARP_M", "element_key", "normal_at", "rng_at", "tile_of", "warp_at", "white_at"]

TILE_M = 60.0
WARP_M = 60.0  # mesh of the smooth distortion
KEY_M = 0.01  # vertices closer than this are the same place
MIX = tuple(
    np.uint64(value) for value in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)


def tile_of(point: NDArray) -> tuple[int, int]:
    """Number of the tile that (2,) world metres lie in."""
    return int(np.floor(point[0] / TILE_M)), int(np.floor(point[1] / TILE_M))


def element_key(vertices: NDArray) -> int:
    """A number of (n, >= 2) vertices that does not depend on their direction, nor on the map that holds them."""
    cells = np.round(vertices[:, :2] / KEY_M).astype("<i8")
    return zlib.crc32(min(cells.tobytes(), np.ascontiguousarray(cells[::-1]).tobytes()))


def rng_at(seed: int, purpose: int, tile: tuple[int, int], key: int = 0) -> np.random.Generator:
    """The generator of one element in one tile."""
    return np.random.default_rng([seed, purpose, tile[0] % 2**32, tile[1] % 2**32, key])


def normal_at(cells: NDArray, seed: int, purpose: int) -> NDArray:
    """(n, 2) standard normal numbers that are a function of (n, 2) int64 cells."""
    with np.errstate(over="ignore"):  # the arithmetic is modulo 2 ** 64 on purpose
        state = cells[:, 0].astype(np.uint64) * MIX[0] + cells[:, 1].astype(np.uint64) * MIX[1]
        state = state[:, None] + np.arange(2, dtype=np.uint64) * MIX[2]
        state = state + np.uint64(seed % 2**32) * MIX[3] + np.uint64(purpose) * MIX[0]
        for shift, factor in ((30, MIX[2]), (27, MIX[3]), (31, MIX[0]), (29, MIX[1])):
            state = (state ^ (state >> np.uint64(shift))) * factor
        state ^= state >> np.uint64(32)
    return ndtri(((state >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)


def white_at(points: NDArray, seed: int, purpose: int) -> NDArray:
    """(n, 2) normal numbers of (n, >= 2) points: vertices that coincide stay together."""
    return normal_at(np.round(points[:, :2] / KEY_M).astype(np.int64), seed, purpose)


def warp_at(points: NDArray, seed: int, purpose: int) -> NDArray:
    """(n, 2) smooth field of about unit spread: normal numbers on a mesh, blended in between."""
    scaled = points[:, :2] / WARP_M
    corner = np.floor(scaled).astype(np.int64)
    inside = scaled - corner
    blend = inside * inside * (3.0 - 2.0 * inside)
    total = np.zeros((len(points), 2))
    for right, up in ((0, 0), (1, 0), (0, 1), (1, 1)):
        weight = np.where(right, blend[:, 0], 1 - blend[:, 0]) * np.where(up, blend[:, 1], 1 - blend[:, 1])
        total += weight[:, None] * normal_at(corner + [right, up], seed, purpose)
    return total
