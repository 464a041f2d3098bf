"""Vector maps as Lanelet2 files: lanes as lanelets, crossings as crosswalks, every other line as a way with its type.

Vertices that lie on each other become one node, for Lanelet2 knows neighbours and successors by shared ways and nodes.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import shapely
from numpy.typing import NDArray

from mapstack.errors import DataError

from .lanelet2 import LANELET2_WAYS, LAYER_TAG, LEFT_POINTS
from .layers import CENTERLINES, CROSSINGS, LANE_BOUNDARIES, OUTLINES
from .vector_map import VectorMap

__all__ = ["write_lanelet2"]

WAY_TAGS = {
    "lane_divider": {"type": "line_thin", "subtype": "dashed"},
    "road_divider": {"type": "line_thin", "subtype": "solid"},
    OUTLINES: {"type": "road_border"},
    CENTERLINES: {"type": "virtual"},
}
SUBTYPES = {
    "DOUBLE_SOLID": "solid_solid", "DOUBLE_DASH": "dashed_dashed", "SOLID_DASH": "solid_dashed",
    "DASH_SOLID": "dashed_solid", "SOLID": "solid", "DASHED": "dashed",
}  # fmt: skip
SUBTYPES_OF_LANES = {"VEHICLE": "road", "BUS": "bus_lane", "BIKE": "bicycle_lane"}
NODE_DECIMALS = 3


def write_lanelet2(vector_map: VectorMap, path: str | Path, wgs84_from_world: Callable[[NDArray], NDArray]) -> None:
    """Write a map that Lanelet2 loads, whole or not at all.

    Args:
        vector_map: lanes come from its lane boundaries (Argoverse 2, Lanelet2); a map without them, from nuScenes or
            from predictions, has its lines written as ways and its crossings as crosswalks. The ring of a crossing of
            other than four corners is replaced by the smallest rectangle around it. A road boundary that only exists
            as the edge of surfaces is written as that edge.
        path: the .osm file.
        wgs84_from_world: (n, 2) world metres to (n, 2) lon, lat degrees.

    Raises:
        DataError: a lane has other than one left and one right side.
    """
    document = _Document(wgs84_from_world)
    _write_lanes(document, vector_map)
    for polygon, about in _rows(vector_map, CROSSINGS):
        edges = _long_edges(polygon, about.get(LEFT_POINTS))
        sides = {role: document.way(edge, {"type": "pedestrian_marking"}) for role, edge in edges.items()}
        document.lanelet(sides, {"subtype": "crosswalk", "location": "urban", "one_way": "no"}, about)
    for name, tags in WAY_TAGS.items():
        if name == CENTERLINES and LANE_BOUNDARIES in vector_map.layers:
            continue  # Lanelet2 works them out from the sides
        for line, about in _rows(vector_map, name):
            document.way(_vertices(line), {**tags, LAYER_TAG: name, **_paint(about)})
    if OUTLINES not in vector_map.layers:
        for line in vector_map.elements("boundary"):
            document.way(_vertices(line), {**WAY_TAGS[OUTLINES], LAYER_TAG: OUTLINES})
    for line, about in _rows(vector_map, LANELET2_WAYS):
        document.way(_vertices(line), {key: str(about[key]) for key in ("type", "subtype") if about.get(key)})
    document.write(Path(path))


def _rows(vector_map: VectorMap, name: str) -> list[tuple[shapely.Geometry, Mapping]]:
    layer = vector_map.layers.get(name)
    return [] if layer is None else list(zip(layer.geometries, layer.attributes, strict=True))


def _vertices(line: shapely.LineString) -> NDArray:
    return shapely.get_coordinates(line, include_z=shapely.has_z(line))


def _paint(about: Mapping) -> dict[str, str]:
    """Type, subtype and colour of a marked line in Lanelet2's words; nothing where it is not told."""
    mark = about.get("mark")
    if not isinstance(mark, str):
        return {}
    kind, _, color = mark.rpartition("_")
    if kind not in SUBTYPES:
        return {"type": str(about.get("type", "virtual"))} | (
            {"subtype": str(about["subtype"])} if about.get("subtype") else {}
        )
    return {"type": "line_thin", "subtype": SUBTYPES[kind], "color": color.lower()}


def _write_lanes(document: "_Document", vector_map: VectorMap) -> None:
    lanes: dict[str, dict[str, tuple]] = {}
    for line, about in _rows(vector_map, LANE_BOUNDARIES):
        sides = lanes.setdefault(str(about["lane"]), {})
        if about["side"] in sides:
            raise DataError(f"{vector_map.name}: lane {about['lane']} has two {about['side']} sides")
        sides[about["side"]] = (line, about)
    for token, sides in lanes.items():
        if set(sides) != {"left", "right"}:
            raise DataError(f"{vector_map.name}: lane {token} has only {', '.join(sides)} of its two sides")
        ways = {side: document.way(_vertices(line), _paint(about)) for side, (line, about) in sides.items()}
        about = sides["left"][1]
        kind = str(about.get("lane_type", "road"))
        tags = {"subtype": SUBTYPES_OF_LANES.get(kind, kind), "location": "urban", "one_way": "yes"}
        document.lanelet(ways, tags, {"token": token})


def _long_edges(polygon: shapely.Polygon, left_points: int | None) -> dict[str, NDArray]:
    """The sides of a crossing that was a lanelet, else the two longer sides as left and right."""
    corners = _vertices(polygon.exterior)[:-1]
    if left_points is not None:
        return {"left": corners[:left_points], "right": corners[left_points:][::-1]}
    if len(corners) != 4:
        flat = shapely.get_coordinates(shapely.minimum_rotated_rectangle(shapely.force_2d(polygon)))[:4]
        corners = np.column_stack([flat, np.full(4, corners[:, 2].mean())]) if corners.shape[1] == 3 else flat
    if np.linalg.norm(corners[1] - corners[0]) < np.linalg.norm(corners[2] - corners[1]):
        corners = np.roll(corners, -1, axis=0)
    return {"left": corners[:2], "right": corners[[3, 2]]}


class _Document:
    """Nodes, ways and lanelets, numbered together: Lanelet2 wants every number once."""

    def __init__(self, wgs84_from_world: Callable[[NDArray], NDArray]) -> None:
        self._wgs84_from_world = wgs84_from_world
        self._count = 0
        self._nodes: dict[tuple, int] = {}
        self._ways: dict[tuple, int] = {}
        self._elements: list[ElementTree.Element] = []

    def _element(self, name: str, tags: Mapping[str, str]) -> ElementTree.Element:
        self._count += 1
        element = ElementTree.Element(name, {"id": str(self._count), "visible": "true", "version": "1"})
        for key, value in tags.items():
            ElementTree.SubElement(element, "tag", {"k": key, "v": value})
        return element

    def _node(self, point: NDArray) -> int:
        key = tuple((np.round(point, NODE_DECIMALS) + 0.0).tolist())
        if key not in self._nodes:
            self._count += 1
            self._nodes[key] = self._count
        return self._nodes[key]

    def way(self, vertices: NDArray, tags: Mapping[str, str]) -> int:
        """Number of the way through (n, 2 or 3) vertices; one that runs the same way, or back, is used again."""
        nodes = [self._node(point) for point in vertices]
        nodes = [node for node, before in zip(nodes, [None, *nodes], strict=False) if node != before]
        key = (min(tuple(nodes), tuple(nodes[::-1])), tuple(sorted(tags.items())))
        if key not in self._ways:
            element = self._element("way", tags)
            for place, node in enumerate(nodes):
                element.insert(place, ElementTree.Element("nd", {"ref": str(node)}))
            self._ways[key] = self._count
            self._elements.append(element)
        return self._ways[key]

    def lanelet(self, sides: Mapping[str, int], tags: Mapping[str, str], about: Mapping) -> None:
        """Append a lanelet between two ways."""
        own = {"type": "lanelet", **tags, "mapstack:token": str(about.get("token", ""))}
        element = self._element("relation", own)
        for place, (role, way) in enumerate(sides.items()):
            element.insert(place, ElementTree.Element("member", {"type": "way", "ref": str(way), "role": role}))
        self._elements.append(element)

    def write(self, path: Path) -> None:
        """Write nodes, ways and relations in this order, beside the file first."""
        root = ElementTree.Element("osm", {"version": "0.6", "generator": "mapstack"})
        points = np.array(list(self._nodes), dtype=float)
        lon_lat = self._wgs84_from_world(points[:, :2]) if len(points) else np.zeros((0, 2))
        for (key, number), (lon, lat) in zip(self._nodes.items(), lon_lat.tolist(), strict=True):
            about = {"id": str(number), "visible": "true", "version": "1", "lat": f"{lat:.11f}", "lon": f"{lon:.11f}"}
            node = ElementTree.SubElement(root, "node", about)
            if len(key) == 3:
                ElementTree.SubElement(node, "tag", {"k": "ele", "v": f"{key[2]:.3f}"})
        root.extend(sorted(self._elements, key=lambda element: element.tag, reverse=True))
        ElementTree.indent(root, space=" ")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        ElementTree.ElementTree(root).write(partial, encoding="utf-8", xml_declaration=True)
        os.replace(partial, path)
