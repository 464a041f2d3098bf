"""Drawing world polygons into a raster of the ground."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["SHIFT", "Canvas"]

SHIFT = 4  # fractional bits that OpenCV's drawing takes


@dataclass(frozen=True)
class Canvas:
    """A north-up raster: row grows with y, column with x.

    Args:
        origin: (2,) world metres of the outer corner of pixel (0, 0).
        shape: (rows, columns).
        resolution_m: edge of a pixel.
    """

    origin: NDArray
    shape: tuple[int, int]
    resolution_m: float

    @staticmethod
    def around(points: NDArray, margin_m: float, resolution_m: float) -> "Canvas":
        """The raster that holds (M, 2) points and a margin."""
        low, high = points.min(0) - margin_m, points.max(0) + margin_m
        columns, rows = np.ceil((high - low) / resolution_m / 64).astype(int) * 64
        return Canvas(low, (int(rows), int(columns)), resolution_m)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(x_min, y_min, x_max, y_max), world metres."""
        rows, columns = self.shape
        high = self.origin + np.array([columns, rows]) * self.resolution_m
        return (*self.origin, *high)

    def pixels(self, points: NDArray) -> NDArray:
        """(M, 2) fixed-point pixels of world points, as OpenCV draws them: whole numbers are pixel centres."""
        scaled = (points - self.origin) / self.resolution_m - 0.5
        return np.round(scaled * (1 << SHIFT)).astype(np.int32)

    def sees(self, points: NDArray) -> bool:
        """Whether the bounding box of (M, 2) points meets the raster."""
        x_min, y_min, x_max, y_max = self.bounds
        low, high = points.min(0), points.max(0)
        return bool(low[0] < x_max and high[0] > x_min and low[1] < y_max and high[1] > y_min)

    def fill(self, image: NDArray, rings: list[NDArray], value: int | tuple[int, ...], smooth: bool = True) -> None:
        """Fill the area inside an odd number of (n, 2) rings."""
        visible = [self.pixels(ring) for ring in rings if len(ring) > 2 and self.sees(ring)]
        if visible:
            cv2.fillPoly(image, visible, value, cv2.LINE_AA if smooth else cv2.LINE_8, SHIFT)

    def band(self, image: NDArray, sides: tuple[NDArray, NDArray], value: int | tuple[int, ...]) -> None:
        """Fill between two (n, 2) lines that run the same way."""
        self.fill(image, [np.concatenate([sides[0], sides[1][::-1]])], value)
