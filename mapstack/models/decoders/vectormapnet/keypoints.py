"""What the detector says of an element: a few points that tell where it lies and how far it reaches."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mapstack.geometry.polyline import resample

from .lines import Lines

__all__ = ["KEYPOINTS", "BoundingBox", "StartMiddleEnd"]


class BoundingBox:
    """Two corners of the box around an element, the low one first: the paper's best form."""

    num_points = 2

    def of_lines(self, lines: Lines) -> NDArray:
        """(L, 2, 2) ego metres of L elements."""
        if not len(lines):
            return np.zeros((0, 2, 2))
        low, high = (bound.reduceat(lines.vertices, lines.starts) for bound in (np.minimum, np.maximum))
        return np.stack([low, high], 1)

    def tidy(self, points: Tensor) -> Tensor:
        """Predicted (..., 2, 2) with the corners put in order."""
        return torch.stack([points.amin(-2), points.amax(-2)], -2)

    def references(self, points: Tensor) -> Tensor:
        """(..., 2, 2) to (..., 4, 2): the corner that each of the coordinates x1, y1, x2, y2 stands for.

        The four differ, so that whoever looks around them sees all four corners of the box.
        """
        (x1, y1), (x2, y2) = (corner.unbind(-1) for corner in points.unbind(-2))
        return torch.stack([torch.stack(pair, -1) for pair in ((x1, y1), (x1, y2), (x2, y1), (x2, y2))], -2)


class StartMiddleEnd:
    """First vertex, the point half way along, last vertex, in the element's canonical order."""

    num_points = 3

    def of_lines(self, lines: Lines) -> NDArray:
        """(L, 3, 2) ego metres of L elements."""
        return resample(np.split(lines.vertices, lines.starts[1:]) if len(lines) else [], self.num_points)

    def tidy(self, points: Tensor) -> Tensor:
        """Predicted (..., 3, 2) as they are: their order says where the element begins."""
        return points

    def references(self, points: Tensor) -> Tensor:
        """(..., 3, 2) to (..., 6, 2): the point that each coordinate belongs to."""
        return points.repeat_interleave(2, -2)


KEYPOINTS = {"bounding_box": BoundingBox, "start_middle_end": StartMiddleEnd}
