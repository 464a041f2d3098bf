"""A synthetic town, written as nuScenes and Argoverse 2 files: the demo's and the tests' data."""

from .build import TOWN_VERSION, TownPaths, make_town

__all__ = ["TOWN_VERSION", "TownPaths", "make_town"]
