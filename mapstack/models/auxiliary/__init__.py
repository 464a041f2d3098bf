"""Auxiliary heads: supervision that the map decoder profits from and that inference does not need."""

from .perspective import PerspectiveSegmentation
from .segmentation import BEVSegmentation

__all__ = ["BEVSegmentation", "PerspectiveSegmentation"]
