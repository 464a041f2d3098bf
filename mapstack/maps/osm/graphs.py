"""Street graphs through OSMnx: GraphML files, and downloads by bounding box with OSMnx's cache."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely

from mapstack.errors import DataError

from .extract import OsmExtract, OsmNode, OsmWay
from .files import POINT_KINDS
from .tags import CAR_HIGHWAYS, is_road

if TYPE_CHECKING:
    import networkx

__all__ = ["download_osm", "extract_of_graph", "read_graphml"]

EDGE_TAGS = ("highway", "name", "ref", "lanes", "maxspeed", "bridge", "tunnel", "junction", "area", "layer", "surface")


def read_graphml(path: Path) -> OsmExtract:
    """Read a graph that OSMnx saved, simplified or not.

    Raises:
        DataError: no GraphML of OSMnx, one with XML entities or a document type, or one in projected coordinates.
    """
    import defusedxml.ElementTree
    import networkx
    import osmnx
    from defusedxml.common import DefusedXmlException

    try:
        for _ in defusedxml.ElementTree.iterparse(path, forbid_dtd=True):
            pass  # NetworkX parses with entities allowed, so that a small file could blow up: look first
        graph = osmnx.load_graphml(path)
        return extract_of_graph(graph, str(path))
    except DefusedXmlException as error:
        raise DataError(
            f"{path}: holds XML entities or a document type ({error}), which no street graph needs"
        ) from error
    except (OSError, SyntaxError, KeyError, ValueError, AttributeError, networkx.NetworkXError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: no GraphML of OSMnx ({error!r}); save the graph with osmnx.save_graphml") from error


def download_osm(lon_lat_box: tuple[float, float, float, float], cache_dir: Path | None = None) -> OsmExtract:
    """Fetch the streets of a box from OpenStreetMap's Overpass service; OSMnx keeps the answer on disk.

    Args:
        lon_lat_box: (west, south, east, north) degrees.
        cache_dir: folder of the cache; None for OSMnx's own setting.

    Raises:
        DataError: there is no network, or no street in the box.
    """
    import osmnx
    import requests

    former = osmnx.settings.cache_folder, osmnx.settings.useful_tags_way
    filters = f'["highway"~"^({"|".join(sorted(CAR_HIGHWAYS))})$"]["area"!~"yes"]'
    try:
        osmnx.settings.cache_folder = former[0] if cache_dir is None else str(cache_dir)
        osmnx.settings.useful_tags_way = sorted({*former[1], *EDGE_TAGS, "oneway"})
        graph = osmnx.graph_from_bbox(
            lon_lat_box, custom_filter=filters, simplify=False, retain_all=True, truncate_by_edge=True
        )
    except (requests.exceptions.RequestException, osmnx._errors.InsufficientResponseError, ValueError) as error:
        raise DataError(
            f"no streets from OpenStreetMap for {lon_lat_box} ({error}); check the network and the order west, south, "
            f"east, north, or read a file that was fetched elsewhere"
        ) from error
    finally:
        osmnx.settings.cache_folder, osmnx.settings.useful_tags_way = former
    return extract_of_graph(graph, f"OpenStreetMap {lon_lat_box}")


def extract_of_graph(graph: "networkx.MultiDiGraph", name: str) -> OsmExtract:
    """Streets of an OSMnx graph in WGS84: an edge each, the two directions of a street once.

    Raises:
        DataError: the graph is projected.
    """
    if "4326" not in str(graph.graph.get("crs", "epsg:4326")):
        raise DataError(f"{name}: the graph is in {graph.graph['crs']}; save it before projecting it, in EPSG:4326")
    ways, seen = [], set()
    for start, end, data in graph.edges(data=True):
        numbers = _first(data.get("osmid", ""))
        points = _course(graph, start, end, data)
        key = (numbers, min(start, end), max(start, end), tuple(sorted(map(tuple, np.round(points, 7).tolist()))))
        tags = {tag: _first(data[tag]) for tag in EDGE_TAGS if tag in data}
        if key in seen or not is_road(tags):
            continue
        seen.add(key)
        # Of a street for both directions OSMnx keeps two edges, one of them marked as against the way's points.
        tags["oneway"] = "yes" if data.get("oneway") in (True, "True", "yes") else "no"
        if tags["oneway"] == "no" and data.get("reversed") in (True, "True"):
            points, start, end = points[::-1], end, start
        ways.append(OsmWay(f"{numbers}/{start}-{end}", points, tags, np.array([start, end], np.int64)))
    nodes = [
        OsmNode(int(number), np.array([data["x"], data["y"]], float), {"highway": data["highway"]})
        for number, data in graph.nodes(data=True)
        if data.get("highway") in POINT_KINDS
    ]
    return OsmExtract(name, ways, nodes)


def _first(value: object) -> str:
    """Simplified edges hold a list where ways were merged: the first stands for all."""
    return str(value[0] if isinstance(value, list) else value)


def _course(graph: "networkx.MultiDiGraph", start: int, end: int, data: dict) -> np.ndarray:
    if "geometry" in data:
        return shapely.get_coordinates(data["geometry"])
    return np.array([(graph.nodes[node]["x"], graph.nodes[node]["y"]) for node in (start, end)], float)
