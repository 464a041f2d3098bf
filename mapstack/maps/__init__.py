"""Vector maps in world metres: their sources, their rules, and their exact view from any pose.

nuscenes-devkit and av2 are imported by the loaders, when one is called, and not here.
"""

from pathlib import Path

from .argoverse2 import load_argoverse2
from .geojson import load_geojson
from .layers import MapLayer
from .nuscenes import load_nuscenes
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
    "load_argoverse2",
    "load_geojson",
    "load_map",
    "load_nuscenes",
]


def load_map(kind: str, root: str | Path, name: str = "") -> VectorMap:
    """One door for the dataset.

    Args:
        kind: "nuscenes", "argoverse2" or "geojson".
        root: the nuScenes dataroot, the folder of an Argoverse 2 log, or a GeoJSON file.
        name: the nuScenes location; unused by the others.
    """
    if kind == "nuscenes":
        return load_nuscenes(root, name)
    if kind == "argoverse2":
        return load_argoverse2(root)
    if kind == "geojson":
        return load_geojson(root)
    raise ValueError(f"unknown kind of map {kind!r}; choose nuscenes, argoverse2 or geojson")
