"""Losses on polylines and on drawn maps."""

from .dense import element_mask_costs, element_mask_loss, heatmap_focal_loss, mask_loss
from .polyline import class_loss, direction_loss, point_loss
from .uncertainty import laplace_loss

__all__ = [
    "class_loss",
    "direction_loss",
    "element_mask_costs",
    "element_mask_loss",
    "heatmap_focal_loss",
    "laplace_loss",
    "mask_loss",
    "point_loss",
]
