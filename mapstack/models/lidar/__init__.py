"""LiDAR points to BEV."""

from .pillars import DynamicPillars
from .point_pillars import PointPillars
from .second import DenseSECOND

__all__ = ["DenseSECOND", "DynamicPillars", "PointPillars"]
