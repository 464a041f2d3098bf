"""The town as volunteers would have mapped it: centre lines a metre or two off, some streets missing."""

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from mapstack.geometry.geodesy import wgs84_from_argoverse2, wgs84_from_nuscenes

from .argoverse2_map import CITY
from .network import Network, Road
from .nuscenes_map import LOCATION
from .world import World, rng_for

__all__ = ["write_osm"]

STEP_M = 18.0
MISSING_SHARE = 0.12
SHIFT_M = (0.8, 2.6)  # common to a district, as of an aerial picture that lies askew
NODE_NOISE_M = 0.5
WRONG_LANES_SHARE = 0.1
NO_LANES_SHARE = 0.3
CLASSES = {1: "residential", 2: "residential", 3: "tertiary", 4: "secondary", 5: "primary", 6: "primary"}
KMH = {"residential": "30", "tertiary": "40", "secondary": "50", "primary": "60"}


class _Document:
    """Nodes and ways of an OSM file, numbered as they come."""

    def __init__(self, rng: np.random.Generator, to_wgs84: Callable[[NDArray], NDArray]) -> None:
        self._rng, self._to_wgs84 = rng, to_wgs84
        self._nodes: list[ElementTree.Element] = []
        self._ways: list[ElementTree.Element] = []
        self._places: list[NDArray] = []

    def node(self, point: NDArray) -> int:
        """Number of a new node at (2,) world metres, a little off."""
        place = self._to_wgs84((point + self._rng.normal(0.0, NODE_NOISE_M, 2))[None])[0]
        self._places.append(place)
        number = 1_000_000 + len(self._nodes)
        about = {"id": str(number), "visible": "true", "version": "1"}
        about |= {"lat": f"{place[1]:.9f}", "lon": f"{place[0]:.9f}"}
        self._nodes.append(ElementTree.Element("node", about))
        return number

    def way(self, nodes: list[int], tags: dict[str, str]) -> None:
        """Append a way."""
        number = str(5_000_000 + len(self._ways))
        way = ElementTree.Element("way", {"id": number, "visible": "true", "version": "1"})
        for node in nodes:
            ElementTree.SubElement(way, "nd", {"ref": str(node)})
        for key, value in tags.items():
            ElementTree.SubElement(way, "tag", {"k": key, "v": value})
        self._ways.append(way)

    def write(self, path: Path) -> None:
        """Write the XML with its bounds."""
        root = ElementTree.Element("osm", {"version": "0.6", "generator": "mapstack synthetic town"})
        low, high = np.min(self._places, axis=0), np.max(self._places, axis=0)
        bounds = {"minlat": low[1], "minlon": low[0], "maxlat": high[1], "maxlon": high[0]}
        ElementTree.SubElement(root, "bounds", {key: f"{value:.9f}" for key, value in bounds.items()})
        root.extend([*self._nodes, *self._ways])
        ElementTree.indent(root, space=" ")
        path.parent.mkdir(parents=True, exist_ok=True)
        ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def write_osm(nuscenes_path: Path, argoverse2_path: Path, world: World) -> None:
    """Write the same streets twice: where nuScenes' location lies on Earth, and where Argoverse 2's city lies."""
    frames = (
        (nuscenes_path, lambda points: wgs84_from_nuscenes(points, LOCATION)),
        (argoverse2_path, lambda points: wgs84_from_argoverse2(points, CITY)),
    )
    for path, to_wgs84 in frames:
        rng = rng_for(world.seed, 8)
        document = _Document(rng, to_wgs84)
        for number, district in enumerate(world.districts):
            _add_network(document, district.map.network, number, rng)
        document.write(path)


def _add_network(document: _Document, network: Network, number: int, rng: np.random.Generator) -> None:
    angle = rng.uniform(0.0, 2 * np.pi)
    shift = rng.uniform(*SHIFT_M) * np.array([np.cos(angle), np.sin(angle)])
    junctions: dict[int, int] = {}
    for i, road in enumerate(network.roads):
        is_missing = rng.random() < MISSING_SHARE
        tags = _tags(road, f"{number + 1}-{i + 1} Street", rng)
        if is_missing:
            continue
        for end in (road.start, road.end):
            if end not in junctions:
                junctions[end] = document.node(network.junctions[end].center + shift)
        for left_m, is_forward, extra in _carriageways(road):
            inner = np.linspace(0.0, road.curve.length, max(2, int(road.curve.length / STEP_M)))
            poses = road.curve.poses(inner)
            normal = np.stack([-np.sin(poses[:, 2]), np.cos(poses[:, 2])], axis=1)
            nodes = [document.node(point) for point in poses[:, :2] + left_m * normal + shift]
            chain = [junctions[road.start], *nodes, junctions[road.end]]
            document.way(chain if is_forward else chain[::-1], {**tags, **extra})


def _carriageways(road: Road) -> list[tuple[float, bool, dict[str, str]]]:
    """Offset, direction and own tags: a divided road is two one-way ways, as OSM's rules say."""
    section = road.section
    if section.has_raised_median:
        return [
            (float(np.mean(section.lane_edges(is_forward))), is_forward, {"oneway": "yes", "lanes": str(count)})
            for is_forward, count in ((True, section.forward), (False, section.backward))
        ]
    return [(0.0, True, {"oneway": "yes"} if section.backward == 0 else {})]


def _tags(road: Road, name: str, rng: np.random.Generator) -> dict[str, str]:
    lanes = road.section.forward + road.section.backward
    kind = CLASSES[lanes]
    tags = {"highway": kind, "name": name}
    if rng.random() > NO_LANES_SHARE:
        tags["lanes"] = str(max(1, lanes + (int(rng.choice([-1, 1])) if rng.random() < WRONG_LANES_SHARE else 0)))
    if rng.random() < 0.5:
        tags["maxspeed"] = KMH[kind]
    if rng.random() < 0.4:
        tags["surface"] = "asphalt"
    return tags
