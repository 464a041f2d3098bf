"""OsmExtract: the streets of an OpenStreetMap file in lon and lat, whatever format it came in; and their map."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray

from mapstack.errors import DataError
from mapstack.maps.layers import MapLayer
from mapstack.maps.vector_map import VectorMap

from .tags import is_road, lane_count, road_attributes

__all__ = ["OSM_CROSSINGS", "ROADS", "SIGNALS", "OsmExtract", "OsmNode", "OsmWay", "build_map"]

logger = logging.getLogger(__name__)

ROADS, OSM_CROSSINGS, SIGNALS = "road", "osm_crossing", "traffic_signals"  # layers of the map
LANE_M, UNKNOWN_WIDTH_M = 3.25, 7.0
MIN_LENGTH_M = 1e-3

ToWorld = Callable[[NDArray], NDArray]


@dataclass(frozen=True)
class OsmWay:
    """A way.

    Args:
        token: its number, and its part where it was cut.
        points: (n, 2) lon, lat degrees, or what the file's coordinates are.
        tags: of OpenStreetMap.
        nodes: int64 numbers of its nodes, or of its ends; empty where the file has none.
    """

    token: str
    points: NDArray
    tags: Mapping[str, str]
    nodes: NDArray = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True)
class OsmNode:
    """A node that is a crossing or a traffic signal: its number, (2,) place and tags."""

    number: int
    point: NDArray
    tags: Mapping[str, str]


@dataclass(frozen=True)
class OsmExtract:
    """What was read of a file.

    Args:
        name: the file, for messages.
        ways: streets and footways over them (``footway=crossing``).
        nodes: crossings and signals on them.
    """

    name: str
    ways: Sequence[OsmWay]
    nodes: Sequence[OsmNode] = ()


def build_map(extract: OsmExtract, to_world: ToWorld) -> VectorMap:
    """Put streets, crossings and signals into a metric frame.

    Layer ``road`` holds the streets along their points (those one-way against their points are turned round, so that
    ``oneway`` is 1 or 0). A crossing or a signal that is a node becomes a line across its street, as wide as the
    street's lanes, in the layers ``osm_crossing`` and ``traffic_signals``; a crossing that is drawn as a way is taken
    as it is, and its node then left out. Ways without length are left out and counted in a log line.

    Args:
        extract: of a file.
        to_world: (n, 2) coordinates of the file to (n, 2) world metres.

    Raises:
        DataError: there is no street in it, or a coordinate is not finite after ``to_world``.
    """
    roads, crossings, without_length = [], [], []
    for way in extract.ways:
        points = _distinct(np.asarray(to_world(way.points), np.float64), f"{extract.name}, way {way.token}")
        if len(points) < 2:
            without_length.append(way.token)
        elif is_road(way.tags):
            roads.append(_Road(way, points, road_attributes(way.tags, way.token)))
        else:
            crossings.append((points, _crossing_about(way.tags, way.token), set(way.nodes.tolist())))
    if without_length:
        logger.warning(
            "%s: %d ways have no length: %s", extract.name, len(without_length), ", ".join(without_length[:5])
        )
    if not roads:
        raise DataError(f"{extract.name}: no street for cars among {len(extract.ways)} ways; is it the right file?")
    layers = {ROADS: MapLayer.from_lines([road.directed for road in roads], [road.about for road in roads])}
    drawn = set().union(*(nodes for _, _, nodes in crossings)) if crossings else set()
    places = {name: [] for name in (OSM_CROSSINGS, SIGNALS)}
    places[OSM_CROSSINGS] = [(points, about) for points, about, _ in crossings]
    across = _Across(roads)
    for node in extract.nodes:
        kind = OSM_CROSSINGS if node.tags.get("highway") == "crossing" else SIGNALS
        line = across.line(node.number, np.asarray(to_world(node.point[None]), np.float64)[0])
        if line is not None and not (kind == OSM_CROSSINGS and node.number in drawn):
            places[kind].append((line, _crossing_about(node.tags, str(node.number))))
    for name, rows in places.items():
        layers[name] = MapLayer.from_lines([line for line, _ in rows], [about for _, about in rows])
    return VectorMap(layers, name=extract.name, source="osm")


@dataclass(frozen=True)
class _Road:
    way: OsmWay
    points: NDArray  # world metres, in the way's order
    about: dict

    @property
    def directed(self) -> NDArray:
        if self.about["oneway"] < 0:
            self.about["oneway"] = 1
            return self.points[::-1]
        return self.points

    @property
    def width_m(self) -> float:
        lanes = lane_count(self.way.tags)
        return LANE_M * lanes if lanes else UNKNOWN_WIDTH_M


class _Across:
    """Lines across the streets at their nodes."""

    def __init__(self, roads: Sequence[_Road]) -> None:
        self._roads: dict[int, _Road] = {}
        for road in roads:
            for number in road.way.nodes.tolist():
                widest = self._roads.get(number)
                if widest is None or road.width_m > widest.width_m:
                    self._roads[number] = road

    def line(self, number: int, point: NDArray) -> NDArray | None:
        """(2, 2) across the widest street through a node; None where it lies on none."""
        road = self._roads.get(number)
        if road is None:
            return None
        at = int(((road.points - point) ** 2).sum(1).argmin())
        along = road.points[min(at + 1, len(road.points) - 1)] - road.points[max(at - 1, 0)]
        length = np.hypot(*along)
        if length < MIN_LENGTH_M:  # a loop's two neighbours may coincide
            return None
        normal = np.array([-along[1], along[0]]) / length
        return point + road.width_m / 2 * np.array([[-1.0], [1.0]]) * normal


def _crossing_about(tags: Mapping[str, str], token: str) -> dict:
    kept = ("crossing", "crossing:markings", "crossing:island", "tactile_paving", "traffic_signals:direction")
    return {"token": token, **{key: tags[key] for key in kept if key in tags}}


def _distinct(points: NDArray, where: str) -> NDArray:
    """(m, 2) without repeated points in a row."""
    if not np.isfinite(points).all():
        raise DataError(f"{where}: a coordinate is not finite; mend the file, or name the coordinates that it is in")
    fresh = np.ones(len(points), dtype=bool)
    fresh[1:] = (np.diff(points, axis=0) != 0).any(1)
    kept = points[fresh]
    return kept if len(kept) >= 2 and shapely.length(shapely.linestrings(kept)) > MIN_LENGTH_M else kept[:1]
