"""A synthetic town, written as nuScenes and Argoverse 2 files: the demo's and the tests' data."""

from .build import TOWN_VERSION, TownPaths, make_town
from .world import SIZES

__all__ = ["SIZES", "TOWN_VERSION", "TownPaths", "make_town"]
