"""Vector maps as GeoJSON in world metres: our own form, and the nuScenes extracts of the shared recordings.

Our form is a FeatureCollection with a member ``"mapstack": {"version": 1, "name", "source"}``; a feature's property
``layer`` names its layer, every other property is an attribute. Coordinates are world metres, not degrees.
"""

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from mapstack.errors import DataError

from .layers import CENTERLINES, OUTLINES, MapLayer
from .vector_map import VectorMap

__all__ = ["load_geojson", "write_geojson"]

FORMAT_VERSION = 1

# The types of the extracts with their geometry, and the layer that each is to us. Their lane polygons make no surface,
# since the extracts give the outline of road segments and lanes themselves.
EXTRACT_LAYERS = {
    ("ROAD_LINE_SOLID_SINGLE_YELLOW", "LineString"): "road_divider",
    ("ROAD_LINE_BROKEN_SINGLE_WHITE", "LineString"): "lane_divider",
    ("ROAD_LINE_SOLID_SINGLE_WHITE", "LineString"): OUTLINES,
    ("LANE_SURFACE_STREET", "LineString"): CENTERLINES,
    ("LANE_SURFACE_STREET", "Polygon"): "lane",
}


def load_geojson(path: str | Path) -> VectorMap:
    """Read a map that :meth:`VectorMap.to_geojson` wrote, or one of the nuScenes extracts.

    Raises:
        DataError: the file is missing or not GeoJSON, or a feature has an unknown layer or a degenerate geometry.
    """
    path = Path(path)
    content = read_json(path)
    if not isinstance(content, dict) or content.get("type") != "FeatureCollection":
        raise DataError(f"{path} is not a GeoJSON FeatureCollection; write maps with VectorMap.to_geojson")
    about = content.get("mapstack", {})
    if about and about.get("version") != FORMAT_VERSION:
        raise DataError(f"{path} has map version {about.get('version')}, not {FORMAT_VERSION}; write it again")
    name_layer = _own_layer if about else _extract_layer
    records: dict[tuple[str, str], list] = defaultdict(list)
    for number, feature in enumerate(content.get("features", ())):
        layer, kind, attributes, coordinates = _parsed(feature, f"{path}, feature {number}", name_layer)
        records[layer, kind].append((coordinates, attributes))
    layers = {layer: _layer(kind, rows, f"{path}, layer {layer}") for (layer, kind), rows in records.items()}
    if len(layers) < len(records):
        raise DataError(f"{path}: a layer mixes lines and polygons; give each its own layer")
    return VectorMap(layers, name=about.get("name", str(path)), source=about.get("source", "geojson"))


def read_json(path: Path) -> dict | list:
    """Parse a file, or raise DataError that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"{path}: cannot read the map file ({error.strerror}); data/README.md says where it goes"
        ) from error
    except ValueError as error:
        raise DataError(f"{path} is not readable JSON ({error}); fetch or write the file again") from error


def _own_layer(properties: dict, kind: str) -> tuple[str | None, dict]:
    attributes = {key: value for key, value in properties.items() if key != "layer"}
    return properties.get("layer"), attributes


def _extract_layer(properties: dict, kind: str) -> tuple[str | None, dict]:
    attributes = {key: value for key, value in properties.items() if key != "geometry_of"}
    return EXTRACT_LAYERS.get((str(properties.get("type")), kind)), attributes


def _parsed(feature: dict, where: str, name_layer: Callable) -> tuple[str, str, dict, list]:
    try:
        properties, geometry = dict(feature["properties"]), feature["geometry"]
        kind, coordinates = geometry["type"], geometry["coordinates"]
    except (KeyError, TypeError) as error:
        raise DataError(f"{where}: no properties or geometry; it is not a GeoJSON feature") from error
    layer, attributes = name_layer(properties, kind)
    if layer is None or kind not in ("LineString", "Polygon"):
        raise DataError(
            f"{where}, token {properties.get('token')}: no layer for type {properties.get('type')!r} with geometry "
            f"{kind}; set the property 'layer', and use LineString or Polygon"
        )
    return layer, kind, attributes, coordinates


def _layer(kind: str, rows: list[tuple[list, dict]], where: str) -> MapLayer:
    attributes = [about for _, about in rows]
    if kind == "LineString":
        return MapLayer.from_lines([_numbers(line, where, about) for line, about in rows], attributes, where)
    rings = [[_numbers(ring, where, about) for ring in polygon] for polygon, about in rows]
    for polygon, about in zip(rings, attributes, strict=True):
        if not polygon:
            raise DataError(f"{where}, token {about.get('token')}: a polygon without a ring")
    return MapLayer.from_polygons([ring[0] for ring in rings], attributes, [ring[1:] for ring in rings], where)


def _numbers(coordinates: list, where: str, about: dict) -> NDArray:
    try:
        return np.array(coordinates, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}, token {about.get('token')}: coordinates are not rows of 2 or 3 numbers") from error


def write_geojson(vector_map: VectorMap, path: str | Path) -> None:
    """Write a map in our form; see :meth:`VectorMap.to_geojson`."""
    features = []
    for name, layer in vector_map.layers.items():
        for geometry, attributes in zip(layer.geometries, layer.attributes, strict=True):
            shape = shapely.geometry.mapping(geometry)
            features.append({"type": "Feature", "properties": {"layer": name, **attributes}, "geometry": shape})
    about = {"version": FORMAT_VERSION, "name": vector_map.name, "source": vector_map.source, "units": "world metres"}
    content = {"type": "FeatureCollection", "mapstack": about, "features": features}
    Path(path).write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
