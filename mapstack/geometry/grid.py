"""The bird's-eye-view grid: the only place where metres become cells."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["BEVGrid"]

Array = TypeVar("Array")


@dataclass(frozen=True)
class BEVGrid:
    """A patch of ground around the ego vehicle, cut into square cells.

    Row ``h`` grows with ego y, column ``w`` with ego x; tensors over it are (B, C, rows, cols).

    Args:
        pc_range: (x_min, y_min, z_min, x_max, y_max, z_max), ego metres, long side along x.
        cell_m: edge of a cell; both sides of the patch are a whole number of cells.
    """

    pc_range: tuple[float, float, float, float, float, float]
    cell_m: float

    def __post_init__(self) -> None:
        if len(self.pc_range) != 6:
            raise ValueError(f"pc_range needs 6 numbers (x, y, z minimum, then maximum), got {self.pc_range}")
        object.__setattr__(self, "pc_range", tuple(float(value) for value in self.pc_range))
        if not self.cell_m > 0:
            raise ValueError(f"cell_m must be positive, got {self.cell_m}")
        if any(low >= high for low, high in zip(self.pc_range[:3], self.pc_range[3:], strict=True)):
            raise ValueError(f"pc_range has a minimum that is not below its maximum: {self.pc_range}")
        for name, size in zip("xy", self.size_m, strict=True):
            if abs(size / self.cell_m - round(size / self.cell_m)) > 1e-6:
                raise ValueError(f"the {name} side, {size} m, is not a whole number of {self.cell_m} m cells")

    @property
    def size_m(self) -> tuple[float, float]:
        """Length along x and along y."""
        return self.pc_range[3] - self.pc_range[0], self.pc_range[4] - self.pc_range[1]

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols): cells along y, cells along x."""
        return round(self.size_m[1] / self.cell_m), round(self.size_m[0] / self.cell_m)

    @property
    def box_xy(self) -> tuple[float, float, float, float]:
        """(x_min, y_min, x_max, y_max), ego metres: the order that shapely's ``clip_by_rect`` takes."""
        return self.pc_range[0], self.pc_range[1], self.pc_range[3], self.pc_range[4]

    def with_cell(self, cell_m: float) -> "BEVGrid":
        """The same patch in cells of another size."""
        return BEVGrid(self.pc_range, cell_m)

    def _like(self, points: Array, values: tuple[float, float]) -> Array:
        return np.asarray(values) if isinstance(points, np.ndarray) else points.new_tensor(values)

    def patch_from_ego(self, points: Array) -> Array:
        """Scale (..., 2 or 3) ego metres to the patch: x and y to [0, 1] over the range, z left in metres."""
        patch = points.copy() if isinstance(points, np.ndarray) else points.clone()
        patch[..., :2] = (points[..., :2] - self._like(points, self.pc_range[:2])) / self._like(points, self.size_m)
        return patch

    def ego_from_patch(self, points: Array) -> Array:
        """Undo :meth:`patch_from_ego`."""
        ego = points.copy() if isinstance(points, np.ndarray) else points.clone()
        ego[..., :2] = points[..., :2] * self._like(points, self.size_m) + self._like(points, self.pc_range[:2])
        return ego

    def contains(self, points: Array) -> Array:
        """Which of (..., 3) ego points lie in the range, z included; a point on the upper edge does not."""
        low, high = self._like(points, self.pc_range[:3]), self._like(points, self.pc_range[3:])
        return ((points[..., :3] >= low) & (points[..., :3] < high)).all(-1)

    def cells(self, points: Array) -> Array:
        """(row, col) of (..., >= 2) ego points, int64, by floor; outside the patch the indices are out of range."""
        scaled = (points[..., :2] - self._like(points, self.pc_range[:2])) / self.cell_m
        if isinstance(points, np.ndarray):
            return np.floor(scaled).astype(np.int64)[..., ::-1]
        return scaled.floor().long().flip(-1)

    def centers(self) -> NDArray:
        """(rows, cols, 2) ego metres, float64: the middle of each cell."""
        rows, cols = self.shape
        x = self.pc_range[0] + (np.arange(cols) + 0.5) * self.cell_m
        y = self.pc_range[1] + (np.arange(rows) + 0.5) * self.cell_m
        return np.stack(np.meshgrid(x, y), axis=-1)
