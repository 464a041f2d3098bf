"""Draw a patch on the BEV grid."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstack.geometry.grid import BEVGrid

from .patch import MapPatch

__all__ = ["draw"]

SUBPIXEL_BITS = 4


def draw(patch: MapPatch, grid: BEVGrid, thickness_px: int, num_classes: int) -> NDArray:
    """One mask per class, rows along y, columns along x; closed elements are drawn as rings, not filled.

    Args:
        patch: labels must be below ``num_classes``; z is ignored.
        grid: the cells; drawn to a sixteenth of one.
        thickness_px: OpenCV's pen, at least 1; 1, 2 and 3 make lines of 1, 3 and 5 cells, as in MapTRv2's masks.
        num_classes: K.

    Returns:
        (K, rows, cols) uint8, 1 on the elements.
    """
    if thickness_px < 1:
        raise ValueError(f"thickness_px must be at least 1, got {thickness_px}")
    mask = np.zeros((num_classes, *grid.shape), dtype=np.uint8)
    low = np.array(grid.box_xy[:2])
    for line, label in zip(patch.vertices, patch.labels, strict=True):
        # OpenCV's pixel (0, 0) is the middle of the first cell, which lies half a cell from the corner.
        pixels = (line[:, :2] - low) / grid.cell_m - 0.5
        fixed = np.round(pixels * (1 << SUBPIXEL_BITS)).astype(np.int32)
        cv2.polylines(mask[label], [fixed[:, None]], False, (1,), thickness_px, cv2.LINE_8, SUBPIXEL_BITS)
    return mask
