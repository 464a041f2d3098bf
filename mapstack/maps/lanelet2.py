"""Lanelet2 maps (OpenStreetMap XML with relations of type lanelet), read into a vector map.

Every lanelet for vehicles gives two lane boundaries, a surface and a centerline, so that the divider and boundary rules
of the other sources hold; a crosswalk is a crossing; all other ways are kept with their type. Regulatory elements
are not read.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from mapstack.errors import DataError
from mapstack.geometry.polyline import resample

from .layers import CENTERLINES, CROSSINGS, DIVIDER_LAYERS, LANE_BOUNDARIES, OUTLINES, MapLayer
from .osm import Place, world_from_wgs84
from .vector_map import VectorMap

__all__ = ["LANELET2_WAYS", "LAYER_TAG", "LEFT_POINTS", "load_lanelet2", "mark_of"]

LANELET2_WAYS = "lanelet2_way"  # ways that bound no lanelet for vehicles; attributes type, subtype
VEHICLE_SUBTYPES = ("road", "highway", "play_street", "emergency_lane", "bus_lane", "exit")
COLORS = {"white": "WHITE", "yellow": "YELLOW"}
LOCAL = "local"
LEFT_POINTS = "left_points"  # of a crossing's ring, how many of its first vertices are the lanelet's left side
LAYER_TAG = "mapstack:layer"  # our writer's: the layer that a way beside the lanes was
OWN_LAYERS = (*DIVIDER_LAYERS, OUTLINES, CENTERLINES)


@dataclass(frozen=True)
class _Way:
    token: str
    nodes: tuple[str, ...]
    points: NDArray
    tags: Mapping[str, str]


@dataclass
class _Lanelet:
    token: str
    left: NDArray
    right: NDArray
    ways: dict[str, _Way]  # by role
    tags: Mapping[str, str]
    ends: dict[str, tuple[str, str]] = field(default_factory=dict)  # nodes left and right at "first" and "last"


def load_lanelet2(path: str | Path, place: Place) -> VectorMap:
    """Read a map that Lanelet2 would load.

    Args:
        path: the .osm file.
        place: whose world frame the map is wanted in, see :func:`mapstack.maps.osm.world_from_wgs84`; ``"local"``
            takes the nodes' tags ``local_x`` and ``local_y``, as Autoware's maps have them.

    Returns:
        3-D where every node that is used has a height (``ele``), else 2-D.

    Raises:
        DataError: the file is no sound XML or holds entities, a reference leads nowhere, or a lanelet lacks a side.
    """
    path = Path(path)
    root = _parse(path)
    ways = _ways(root, path, place)
    lanelets = [
        _lanelet(relation, ways, path) for relation in root.iter("relation") if _tags(relation).get("type") == "lanelet"
    ]
    if not lanelets and not ways:
        raise DataError(f"{path} holds no lanelet and no way; is it a Lanelet2 map?")
    lanes = [lanelet for lanelet in lanelets if lanelet.tags.get("subtype", "road") in VEHICLE_SUBTYPES]
    walks = [lanelet for lanelet in lanelets if lanelet.tags.get("subtype") == "crosswalk"]
    used = {way.token for lanelet in lanes for way in lanelet.ways.values()}
    rest = [way for way in ways.values() if way.token not in used]
    layers = {
        LANE_BOUNDARIES: _boundaries(lanes, path),
        "lane": MapLayer.from_polygons(
            [_ring(lane) for lane in lanes], [_about(lane) for lane in lanes], where=f"{path}"
        ),
        CROSSINGS: MapLayer.from_polygons(
            [_ring(walk) for walk in walks],
            [{**_about(walk), LEFT_POINTS: len(walk.left)} for walk in walks],
            where=f"{path}",
        ),
        CENTERLINES: _centerlines(lanes, path),
    }
    layers |= _other_ways(rest, path)
    return VectorMap(layers, name=str(path), source="lanelet2")


def _other_ways(ways: Sequence[_Way], path: Path) -> dict[str, MapLayer]:
    """Ways beside the lanes, in the layers that our own writer noted, else all in one."""
    groups: dict[str, list[_Way]] = {LANELET2_WAYS: []}
    for way in ways:
        noted = way.tags.get(LAYER_TAG)
        groups.setdefault(noted if noted in OWN_LAYERS else LANELET2_WAYS, []).append(way)
    return {
        name: MapLayer.from_lines(
            [way.points for way in rows], [{"token": way.token, **_kept(way.tags)} for way in rows], f"{path}, ways"
        )
        for name, rows in groups.items()
    }


def _parse(path: Path) -> Element:
    import defusedxml.ElementTree
    from defusedxml.common import DefusedXmlException

    try:
        root = defusedxml.ElementTree.parse(path, forbid_dtd=True).getroot()
    except DefusedXmlException as error:
        raise DataError(f"{path}: holds XML entities or a document type ({error}), which no map needs") from error
    except (OSError, SyntaxError) as error:
        raise DataError(f"{path}: no readable XML ({error}); export the Lanelet2 map again") from error
    if root.tag != "osm":
        raise DataError(f"{path}: the root element is {root.tag!r}, not 'osm'; it is no Lanelet2 map")
    return root


def _tags(element: Element) -> dict[str, str]:
    return {tag.get("k", ""): tag.get("v", "") for tag in element.iter("tag")}


def _ways(root: Element, path: Path, place: Place) -> dict[str, _Way]:
    """Ways by number, in world metres."""
    raw = {way.get("id", ""): ([nd.get("ref", "") for nd in way.iter("nd")], _tags(way)) for way in root.iter("way")}
    nodes = {node.get("id", ""): node for node in root.iter("node")}
    order = list(dict.fromkeys(ref for refs, _ in raw.values() for ref in refs))
    lost = [ref for ref in order if ref not in nodes]
    if lost:
        way = next(token for token, (refs, _) in raw.items() if lost[0] in refs)
        raise DataError(f"{path}: way {way} refers to node {lost[0]}, which the file lacks ({len(lost)} such nodes)")
    places = _places([nodes[ref] for ref in order], path, place)
    at = {ref: i for i, ref in enumerate(order)}
    return {
        token: _Way(token, tuple(refs), places[[at[ref] for ref in refs]], tags)
        for token, (refs, tags) in raw.items()
        if len(refs) > 1
    }


def _places(nodes: Sequence[Element], path: Path, place: Place) -> NDArray:
    """(n, 2 or 3) world metres of nodes."""
    tags = [_tags(node) for node in nodes]
    try:
        if place == LOCAL:
            xy = np.array([(float(about["local_x"]), float(about["local_y"])) for about in tags]).reshape(-1, 2)
        else:
            lon_lat = np.array([(float(node.get("lon")), float(node.get("lat"))) for node in nodes]).reshape(-1, 2)
            xy = world_from_wgs84(place)(lon_lat)
        if not all("ele" in about for about in tags):
            return xy
        return np.column_stack([xy, [float(about["ele"]) for about in tags]])
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: a node has no lon and lat, or no local_x and local_y ({error!r})") from error


def _lanelet(relation: Element, ways: Mapping[str, _Way], path: Path) -> _Lanelet:
    token = relation.get("id", "")
    sides = {}
    for member in relation.iter("member"):
        role = member.get("role", "")
        if role in ("left", "right"):
            way = ways.get(member.get("ref", ""))
            if way is None:
                raise DataError(f"{path}: lanelet {token} refers to way {member.get('ref')}, which the file lacks")
            if role in sides:
                raise DataError(f"{path}: lanelet {token} has two ways as its {role} side; join them into one")
            sides[role] = way
    if len(sides) < 2:
        raise DataError(f"{path}: lanelet {token} has no {'right' if 'left' in sides else 'left'} side; mend the map")
    turn_left, turn_right = _turns(sides["left"].points, sides["right"].points)
    lanelet = _Lanelet(
        token, sides["left"].points[::turn_left], sides["right"].points[::turn_right], sides, _tags(relation)
    )
    left, right = sides["left"].nodes[::turn_left], sides["right"].nodes[::turn_right]
    lanelet.ends = {"first": (left[0], right[0]), "last": (left[-1], right[-1])}
    return lanelet


def _turns(left: NDArray, right: NDArray) -> tuple[int, int]:
    """Steps (1, -1) that make both sides run forward with the left one on the left, as Lanelet2 itself aligns them."""
    same = np.linalg.norm(left[0] - right[0]) + np.linalg.norm(left[-1] - right[-1])
    crossed = np.linalg.norm(left[0] - right[-1]) + np.linalg.norm(left[-1] - right[0])
    turn = 1 if same <= crossed else -1
    ring = np.concatenate([left[:, :2], right[::turn][::-1, :2]])
    x, y = (ring - ring[0]).T
    area = float(x @ np.roll(y, -1) - y @ np.roll(x, -1))
    return (1, turn) if area <= 0 else (-1, -turn)  # forward on the left and back on the right is clockwise


def _ring(lanelet: _Lanelet) -> NDArray:
    return np.concatenate([lanelet.left, lanelet.right[::-1]])


def _about(lanelet: _Lanelet) -> dict:
    return {"token": lanelet.token, **_kept(lanelet.tags)}


def _kept(tags: Mapping[str, str]) -> dict:
    return {key: tags[key] for key in ("type", "subtype", "location", "one_way", "color") if key in tags}


def mark_of(tags: Mapping[str, str]) -> str:
    """Paint on a way in the words of Argoverse 2, NONE for kerbs, fences and lines that are only thought."""
    if tags.get("type") not in ("line_thin", "line_thick"):
        return "NONE"
    subtype = tags.get("subtype", "solid")
    color = COLORS.get(tags.get("color", "white"), "WHITE")
    kinds = {"dashed": "DASHED", "solid": "SOLID", "solid_solid": "DOUBLE_SOLID", "dashed_dashed": "DOUBLE_DASH"}
    kinds |= {"solid_dashed": "SOLID_DASH", "dashed_solid": "DASH_SOLID"}
    return f"{kinds[subtype]}_{color}" if subtype in kinds else "UNKNOWN"


def _boundaries(lanes: Sequence[_Lanelet], path: Path) -> MapLayer:
    users: dict[str, list[str]] = defaultdict(list)
    for lane in lanes:
        for way in lane.ways.values():
            users[way.token].append(lane.token)
    vertices, attributes = [], []
    for lane in lanes:
        is_inside = "turn_direction" in lane.tags or all(
            way.tags.get("type") == "virtual" for way in lane.ways.values()
        )
        for side, line in (("left", lane.left), ("right", lane.right)):
            way = lane.ways[side]
            others = [token for token in users[way.token] if token != lane.token]
            about = {"token": f"{lane.token}_{side}", "lane": lane.token, "side": side, "mark": mark_of(way.tags)}
            about |= {"neighbour": others[0] if others else None, "is_intersection": is_inside, "way": way.token}
            attributes.append(about | {"lane_type": lane.tags.get("subtype", "road"), **_kept(way.tags)})
            vertices.append(line)
    return MapLayer.from_lines(vertices, attributes, f"{path}, lanelets")


def _centerlines(lanes: Sequence[_Lanelet], path: Path) -> MapLayer:
    """Half way between the sides, at as many points as the longer one has; a lane follows where both end nodes meet."""
    begins: dict[tuple[str, str], list[str]] = defaultdict(list)
    for lane in lanes:
        begins[lane.ends["first"]].append(lane.token)
    vertices, attributes = [], []
    for lane in lanes:
        count = max(len(lane.left), len(lane.right))
        vertices.append(resample([lane.left, lane.right], count).mean(0))
        attributes.append({**_about(lane), "successors": begins.get(lane.ends["last"], [])})
    return MapLayer.from_lines(vertices, attributes, f"{path}, lanelets")
