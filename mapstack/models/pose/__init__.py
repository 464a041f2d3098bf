"""Poses: where was this picture taken (MapNet, its losses, drives without labels), and how far off is a prior map."""

from .correction import PoseCorrection
from .head import PoseHead
from .losses import MapNetLoss, PoseEstimate
from .mapnet import MapNet

__all__ = ["MapNet", "MapNetLoss", "PoseCorrection", "PoseEstimate", "PoseHead"]
