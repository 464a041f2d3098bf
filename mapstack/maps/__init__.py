"""Vector maps in world metres: their sources, their rules, and their exact view from any pose.

nuscenes-devkit, av2, pyosmium, OSMnx and GeoPandas are imported by the loaders, when one is called, and not here.
"""

from pathlib import Path

from .argoverse2 import load_argoverse2
from .geojson import load_geojson
from .lanelet2 import load_lanelet2
from .lanelet2_writer import write_lanelet2
from .layers import MapLayer
from .nuscenes import load_nuscenes
from .osm import fetch_osm, load_osm
from .patch import CLASSES, DIRECTED_CLASSES, MapPatch
from .rules import CROSSING_RULES, DIVIDER_RULES
from .vector_map import VectorMap

__all__ = [
    "CLASSES",
    "CROSSING_RULES",
    "DIRECTED_CLASSES",
    "DIVIDER_RULES",
    "MapLayer",
    "MapPatch",
    "VectorMap",
    "fetch_osm",
    "load_argoverse2",
    "load_geojson",
    "load_lanelet2",
    "load_map",
    "load_nuscenes",
    "load_osm",
    "write_lanelet2",
]


def load_map(kind: str, root: str | Path, name: str = "") -> VectorMap:
    """One door for the dataset.

    Args:
        kind: "nuscenes", "argoverse2", "lanelet2" or "geojson".
        root: the nuScenes dataroot, the folder of an Argoverse 2 log, a Lanelet2 or a GeoJSON file.
        name: the nuScenes location, or for Lanelet2 the place whose world frame is meant, or "local"; else unused.
    """
    if kind == "nuscenes":
        return load_nuscenes(root, name)
    if kind == "argoverse2":
        return load_argoverse2(root)
    if kind == "lanelet2":
        return load_lanelet2(root, name)
    if kind == "geojson":
        return load_geojson(root)
    raise ValueError(f"unknown kind of map {kind!r}; choose nuscenes, argoverse2, lanelet2 or geojson")
