"""One frame's predictions as a Lanelet2 file, with the standard library alone.

A whole drive's map is the business of :mod:`mapstack.maps.lanelet2_writer`; this is what a vehicle can do without
PyTorch, shapely or pyproj.
"""

from collections.abc import Sequence
from xml.etree import ElementTree

import numpy as np

__all__ = ["prediction_lanelet2"]

EARTH_RADIUS_M = 6_378_137.0  # of the tangent plane, as mapstack.geometry.geodesy has it
WAY_TAGS = {
    "lane_divider": {"type": "line_thin", "subtype": "dashed"},
    "boundary": {"type": "road_border"},
    "centerline": {"type": "virtual"},
}
DEGREE_DECIMALS = 9  # a tenth of a millimetre


def prediction_lanelet2(collection: dict, origin: tuple[float, float]) -> str:
    """Text of an OSM XML file that Lanelet2 reads: lines as ways with their type, crossings as crosswalk lanelets.

    Args:
        collection: what :func:`mapstack.export.geojson.prediction_geojson` returned.
        origin: (lon, lat) degrees of the world's zero; the world's x is east, its y north (a nuScenes map's frame).

    Returns:
        XML. Ids count down from -1, as of elements that no server has seen. ``local_x`` and ``local_y`` are the world
        metres, for readers that prefer them (Autoware's).
    """
    document = _Document(origin)
    for feature in collection["features"]:
        geometry, properties = feature["geometry"], feature["properties"]
        tags = {"mapstack_score": str(properties["score"])}
        if geometry["type"] == "Polygon":
            left, right = _long_edges(geometry["coordinates"][0][:-1])
            sides = [document.way(edge, {"type": "pedestrian_marking"}) for edge in (left, right)]
            document.lanelet(sides, {"subtype": "crosswalk", "one_way": "no", "location": "urban", **tags})
        else:
            kind = WAY_TAGS.get(properties["layer"], {"type": properties["layer"]})
            document.way(geometry["coordinates"], {**kind, **tags})
    return document.text()


def _long_edges(corners: Sequence[Sequence[float]]) -> tuple[list, list]:
    """Two opposite sides of a ring, the longer ones of its best quadrilateral, running the same way."""
    ring = np.asarray(corners, float)
    # The four corners that enclose most, greedily: the farthest pair, then the farthest on either side of it.
    gaps = np.linalg.norm(ring[:, None, :2] - ring[None, :, :2], axis=2)
    first, third = sorted(np.unravel_index(gaps.argmax(), gaps.shape))
    axis = ring[third, :2] - ring[first, :2]
    offset = ring[:, :2] - ring[first, :2]
    side = axis[0] * offset[:, 1] - axis[1] * offset[:, 0]
    a, b, c, d = ring[first], ring[side.argmin()], ring[third], ring[side.argmax()]
    if np.linalg.norm(b - a) >= np.linalg.norm(c - b):
        return [a, b], [d, c]
    return [b, c], [a, d]


class _Document:
    def __init__(self, origin: tuple[float, float]) -> None:
        self._root = ElementTree.Element("osm", version="0.6", generator="mapstack")
        self._elements: dict[str, list[ElementTree.Element]] = {"node": [], "way": [], "relation": []}
        self._origin, self._last_id = origin, 0
        self._scale = EARTH_RADIUS_M * np.array([np.cos(np.radians(origin[1])), 1.0])

    def _add(self, kind: str, tags: dict[str, str], **attributes: str) -> ElementTree.Element:
        self._last_id -= 1
        element = ElementTree.Element(kind, id=str(self._last_id), visible="true", version="1", **attributes)
        self._elements[kind].append(element)
        for key, value in tags.items():
            ElementTree.SubElement(element, "tag", k=key, v=value)
        return element

    def _node(self, point: Sequence[float]) -> str:
        lon, lat = np.degrees(np.asarray(point[:2], float) / self._scale) + np.asarray(self._origin)
        tags = {"local_x": f"{point[0]:.3f}", "local_y": f"{point[1]:.3f}"}
        if len(point) > 2:
            tags["ele"] = f"{point[2]:.3f}"
        node = self._add("node", tags, lat=f"{lat:.{DEGREE_DECIMALS}f}", lon=f"{lon:.{DEGREE_DECIMALS}f}")
        return node.get("id")

    def way(self, points: Sequence[Sequence[float]], tags: dict[str, str]) -> str:
        """Add a way and its nodes; its id."""
        nodes = [self._node(point) for point in points]
        way = self._add("way", tags)
        for number, node in enumerate(nodes):
            way.insert(number, ElementTree.Element("nd", ref=node))
        return way.get("id")

    def lanelet(self, sides: Sequence[str], tags: dict[str, str]) -> None:
        """Add a lanelet between a left and a right way."""
        relation = self._add("relation", {"type": "lanelet", **tags})
        for number, (role, way) in enumerate(zip(("left", "right"), sides, strict=True)):
            relation.insert(number, ElementTree.Element("member", type="way", role=role, ref=way))

    def text(self) -> str:
        """The file: nodes, then ways, then relations."""
        for elements in self._elements.values():
            self._root.extend(elements)
        ElementTree.indent(self._root)
        return ElementTree.tostring(self._root, encoding="unicode", xml_declaration=True) + "\n"
