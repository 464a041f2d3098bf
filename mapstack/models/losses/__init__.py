"""Losses on polylines and on drawn maps."""

from .dense import heatmap_focal_loss, mask_loss
from .polyline import class_loss, direction_loss, point_loss

__all__ = ["class_loss", "direction_loss", "heatmap_focal_loss", "mask_loss", "point_loss"]
