"""Upright boxes: what both sensors see of buildings, vehicles, trees and poles."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

__all__ = ["BUILDING", "BODY", "CABIN", "CROWN", "HEDGE", "POLE", "Boxes"]

BUILDING, HEDGE, POLE, CROWN, BODY, CABIN = range(6)


@dataclass(frozen=True)
class Boxes:
    """N boxes standing upright.

    Args:
        center: (N, 2) world metres.
        yaw: (N,) heading of the long side, radians.
        half: (N, 2) half the length and half the width.
        z: (N, 2) bottom and top.
        kind: (N,) BUILDING, HEDGE, POLE, CROWN, BODY or CABIN.
        color: (N, 3) BGR in daylight, 0 to 255.
        owner: (N,) vehicle that the box belongs to, -1 for none.
    """

    center: NDArray
    yaw: NDArray
    half: NDArray
    z: NDArray
    kind: NDArray
    color: NDArray
    owner: NDArray

    def __len__(self) -> int:
        return len(self.yaw)

    def __getitem__(self, keep: NDArray) -> "Boxes":
        return Boxes(*[getattr(self, field.name)[keep] for field in fields(self)])

    @staticmethod
    def join(parts: "list[Boxes]") -> "Boxes":
        """All boxes of several lots, in order."""
        return Boxes(*[np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Boxes)])

    @staticmethod
    def make(rows: list[tuple], kind: int) -> "Boxes":
        """Boxes of one kind from rows (x, y, yaw, half length, half width, bottom, top, blue, green, red)."""
        table = np.array(rows, float).reshape(-1, 10)
        count = len(table)
        return Boxes(
            center=table[:, :2],
            yaw=table[:, 2],
            half=table[:, 3:5],
            z=table[:, 5:7],
            kind=np.full(count, kind),
            color=table[:, 7:],
            owner=np.full(count, -1),
        )

    def corners(self) -> NDArray:
        """(N, 4, 2) footprints, counter-clockwise from front left."""
        signs = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]], float)
        local = self.half[:, None] * signs  # (N, 4, 2)
        cos, sin = np.cos(self.yaw)[:, None], np.sin(self.yaw)[:, None]
        x = local[..., 0] * cos - local[..., 1] * sin
        y = local[..., 0] * sin + local[..., 1] * cos
        return self.center[:, None] + np.stack([x, y], axis=-1)

    def near(self, points: NDArray, distance_m: float) -> NDArray:
        """(N,) bool: which boxes may lie within ``distance_m`` of any of (M, 2) points."""
        gap = np.linalg.norm(self.center[:, None] - points[None], axis=-1).min(1)
        return gap < distance_m + np.linalg.norm(self.half, axis=1)
