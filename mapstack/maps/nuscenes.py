"""nuScenes map expansion files (version 1.3), read by nuscenes-devkit."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray

from mapstack.errors import DataError

from .geojson import read_json
from .layers import CENTERLINES, CROSSINGS, MapLayer
from .vector_map import VectorMap

if TYPE_CHECKING:
    from nuscenes.map_expansion.map_api import NuScenesMap

__all__ = ["load_nuscenes"]

LINE_LAYERS = ("road_divider", "lane_divider")
POLYGON_LAYERS = ("road_segment", "lane", CROSSINGS)
REQUIRED = (
    *("polygon", "line", "node", "drivable_area", "road_segment", "road_block", "lane", "ped_crossing", "walkway"),
    *("stop_line", "carpark_area", "road_divider", "lane_divider", "traffic_light"),
    *("canvas_edge", "version", "arcline_path_3", "connectivity", "lane_connector"),
)
KEPT = {  # attributes beside the token
    "lane": ("lane_type", "from_edge_line_token", "to_edge_line_token"),
    "road_segment": ("is_intersection",),
    "road_divider": ("road_segment_token",),
    "ped_crossing": ("road_segment_token",),
}
ARC_STEP_M = 0.5
ARC_TOLERANCE_M = 0.02  # centerlines are arcs in the source; straight stretches need no vertex every half metre


def load_nuscenes(dataroot: str | Path, location: str) -> VectorMap:
    """Read ``dataroot/maps/expansion/<location>.json``.

    Args:
        dataroot: of the nuScenes data set.
        location: as a log names it, for instance "singapore-onenorth".

    Raises:
        DataError: the file is missing, is no map expansion, lacks a layer, or a record is broken; the file and the
            record's token are named.
    """
    path = Path(dataroot) / "maps" / "expansion" / f"{location}.json"
    _check(path)
    from nuscenes.map_expansion.map_api import NuScenesMap, locations  # pulls matplotlib in, seconds

    if location not in locations:
        raise DataError(f"{path}: nuscenes-devkit knows no location {location!r}, only {', '.join(locations)}")
    try:
        source = NuScenesMap(dataroot=str(dataroot), map_name=location)
        layers = {name: _lines(source, name, path) for name in LINE_LAYERS}
        layers |= {name: _polygons(source, name, path) for name in POLYGON_LAYERS}
        layers[CENTERLINES] = _centerlines(source, path)
    except KeyError as error:
        raise DataError(f"{path}: a record refers to {error}, which the file lacks; fetch the map again") from error
    return VectorMap(layers, name=location, source="nuscenes")


def _check(path: Path) -> None:
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(f"{path} is not a nuScenes map expansion file")
    missing = [name for name in REQUIRED if name not in content]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}; it needs version 1.3 of the map expansion (nuscenes.org)")
    if str(content["version"]) < "1.3":
        raise DataError(f"{path} is map version {content['version']}, this code needs 1.3 (nuscenes.org/download)")


def _nodes(source: "NuScenesMap", tokens: list[str]) -> NDArray:
    records = [source.get("node", token) for token in tokens]
    return np.array([(node["x"], node["y"]) for node in records], dtype=np.float64).reshape(-1, 2)


def _about(name: str, record: dict) -> dict:
    about = {"token": record["token"], **{key: record[key] for key in KEPT.get(name, ()) if key in record}}
    if "lane_divider_segments" in record:
        about["mark"] = [segment["segment_type"] for segment in record["lane_divider_segments"]]
    if "road_divider_segments" in record:
        about["mark"] = [segment["segment_type"] for segment in record["road_divider_segments"]]
    return about


def _lines(source: "NuScenesMap", name: str, path: Path) -> MapLayer:
    # Published maps hold lines without any node, which the devkit passes over, and so do we.
    records = [record for record in getattr(source, name) if record["node_tokens"]]
    vertices = [_nodes(source, record["node_tokens"]) for record in records]
    return MapLayer.from_lines(vertices, [_about(name, record) for record in records], f"{path}, layer {name}")


def _polygons(source: "NuScenesMap", name: str, path: Path) -> MapLayer:
    records = [record for record in getattr(source, name) if record["exterior_node_tokens"]]
    exteriors = [_nodes(source, record["exterior_node_tokens"]) for record in records]
    inner = [[hole["node_tokens"] for hole in record["holes"] if hole["node_tokens"]] for record in records]
    holes = [[_nodes(source, tokens) for tokens in rings] for rings in inner]
    about = [_about(name, record) for record in records]
    return MapLayer.from_polygons(exteriors, about, holes, f"{path}, layer {name}")


def _centerlines(source: "NuScenesMap", path: Path) -> MapLayer:
    """Lanes and lane connectors along their arcs, in driving direction."""
    from nuscenes.map_expansion.arcline_path_utils import discretize_lane

    vertices, attributes = [], []
    for name, records in (("lane", source.lane), ("lane_connector", source.lane_connector)):
        for record in records:
            token = record["token"]
            arcs = source.arcline_path_3.get(token, [])
            if not arcs:  # car parks and the like have no path in the published maps
                continue
            points = np.array(discretize_lane(arcs, ARC_STEP_M))[:, :2]
            links = source.connectivity.get(token, {"incoming": [], "outgoing": []})
            vertices.append(_thinned(points))
            attributes.append(
                {
                    "token": token,
                    "predecessors": list(links["incoming"]),
                    "successors": list(links["outgoing"]),
                    "is_intersection": name == "lane_connector",
                }
            )
    return MapLayer.from_lines(vertices, attributes, f"{path}, layer arcline_path_3")


def _thinned(points: NDArray) -> NDArray:
    if not np.isfinite(points).all():
        return points  # MapLayer says where
    return shapely.get_coordinates(shapely.simplify(shapely.linestrings(points), ARC_TOLERANCE_M))
