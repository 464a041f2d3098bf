"""Pure geometry: rigid transforms, cameras, the BEV grid, polylines, geodesy. No files, no config."""

from .grid import BEVGrid

__all__ = ["BEVGrid"]
