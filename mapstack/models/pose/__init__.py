"""Where was this picture taken: MapNet's network, its losses, and its training on drives without labels."""

from .head import PoseHead
from .losses import MapNetLoss, PoseEstimate
from .mapnet import MapNet

__all__ = ["MapNet", "MapNetLoss", "PoseEstimate", "PoseHead"]
