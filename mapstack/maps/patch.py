"""What a map looks like from one pose: exact vertices in ego metres."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapstack.geometry.polyline import resample

__all__ = ["CLASSES", "DIRECTED_CLASSES", "MapPatch"]

CLASSES = ("divider", "ped_crossing", "boundary", "centerline")
DIRECTED_CLASSES = frozenset({"centerline"})
JOINT_M = 0.1  # a lane ends where the next begins: ends nearer than this are one node (maps agree to a millimetre)


@dataclass(frozen=True)
class MapPatch:
    """The map elements inside the patch of one pose; N may be 0.

    Args:
        vertices: N arrays (n_i, 2 or 3), ego metres, the exact clipped vertices in order. A closed element
            repeats its first vertex at the end.
        labels: (N,) int64, index into ``classes``.
        closed: (N,) bool.
        classes: class names in label order.
        rules: the rules the truth was made by, for instance ``{"divider": "maptrv2", "origin": "ego"}``;
            printed with every result.
    """

    vertices: list[NDArray]
    labels: NDArray
    closed: NDArray
    classes: tuple[str, ...]
    rules: dict[str, str]

    def __len__(self) -> int:
        return len(self.vertices)

    def points(self, num_points: int) -> NDArray:
        """(N, P, 2 or 3) ego metres at equal arc length, float64."""
        return resample(self.vertices, num_points)

    @property
    def directed(self) -> NDArray:
        """(N,) bool: whether only the given direction describes the element."""
        return np.array([self.classes[label] in DIRECTED_CLASSES for label in self.labels], dtype=bool)

    @property
    def topology(self) -> NDArray | None:
        """(N, N) bool: directed element n ends where directed element m begins; None without a directed class."""
        if DIRECTED_CLASSES.isdisjoint(self.classes):
            return None
        ends = np.array([line[-1, :2] for line in self.vertices]).reshape(-1, 1, 2)
        starts = np.array([line[0, :2] for line in self.vertices]).reshape(1, -1, 2)
        meets = np.linalg.norm(ends - starts, axis=-1) < JOINT_M
        return meets & self.directed[:, None] & self.directed[None] & ~np.eye(len(self), dtype=bool)
