"""Argoverse 2 map archives of the sensor data set, read by av2; 3-D."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray

from mapstack.errors import DataError

from .geojson import read_json
from .layers import CENTERLINES, CROSSINGS, LANE_BOUNDARIES, MapLayer
from .vector_map import VectorMap

if TYPE_CHECKING:
    from av2.map.map_api import ArgoverseStaticMap
    from av2.map.pedestrian_crossing import PedestrianCrossing

__all__ = ["load_argoverse2"]

REQUIRED = ("lane_segments", "drivable_areas", "pedestrian_crossings")


def load_argoverse2(log_dir: str | Path) -> VectorMap:
    """Read ``log_dir/map/log_map_archive_*.json``.

    Args:
        log_dir: folder of one log of the sensor data set.

    Raises:
        DataError: there is no archive or more than one, it lacks a layer, or a record is broken; the file and the
            record's id are named.
    """
    log_dir = Path(log_dir)
    archives = sorted((log_dir / "map").glob("log_map_archive_*.json"))
    if len(archives) != 1:
        raise DataError(
            f"{log_dir / 'map'}: needs one log_map_archive_*.json, has {len(archives)}; download the log's map again"
        )
    path = archives[0]
    content = read_json(path)
    missing = [name for name in REQUIRED if name not in content]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}; a log without any has an empty object there")
    from av2.map.map_api import ArgoverseStaticMap  # pulls matplotlib in, seconds

    try:
        source = ArgoverseStaticMap.from_json(path)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: av2 cannot read this map archive ({error!r}); download it again") from error
    layers = {
        LANE_BOUNDARIES: _lane_boundaries(source, path),
        CROSSINGS: _crossings(source, path),
        "drivable_area": _drivable_areas(source, path),
        CENTERLINES: _centerlines(source, path),
    }
    return VectorMap(layers, name=log_dir.resolve().name, source="argoverse2")


def _lane_boundaries(source: "ArgoverseStaticMap", path: Path) -> MapLayer:
    vertices, attributes = [], []
    for lane in source.get_scenario_lane_segments():
        for side, line, mark, neighbour in (
            ("left", lane.left_lane_boundary, lane.left_mark_type, lane.left_neighbor_id),
            ("right", lane.right_lane_boundary, lane.right_mark_type, lane.right_neighbor_id),
        ):
            about = {"token": f"{lane.id}_{side}", "lane": lane.id, "side": side, "mark": mark.value}
            about |= {"lane_type": lane.lane_type.value, "is_intersection": lane.is_intersection}
            about["neighbour"] = neighbour
            attributes.append(about)
            vertices.append(line.xyz)
    return MapLayer.from_lines(vertices, attributes, f"{path}, layer lane_segments")


def _crossings(source: "ArgoverseStaticMap", path: Path) -> MapLayer:
    where = f"{path}, layer pedestrian_crossings"
    crossings = source.get_scenario_ped_crossings()
    rings = [_crossing_ring(crossing, where) for crossing in crossings]
    return MapLayer.from_polygons(rings, [{"token": str(crossing.id)} for crossing in crossings], where=where)


def _crossing_ring(crossing: "PedestrianCrossing", where: str) -> NDArray:
    """The ring through both edges; av2's own, unless its edges run in opposite directions and make a bow tie of it."""
    try:
        ring = np.asarray(crossing.polygon, dtype=np.float64)
    except ValueError as error:
        raise DataError(f"{where}, token {crossing.id}: an edge has not two vertices; mend the map file") from error
    if np.isfinite(ring).all() and not shapely.is_valid(shapely.polygons(ring)):
        turned = ring[[0, 1, 3, 2, 0]]
        return turned if shapely.is_valid(shapely.polygons(turned)) else ring
    return ring


def _drivable_areas(source: "ArgoverseStaticMap", path: Path) -> MapLayer:
    areas = source.get_scenario_vector_drivable_areas()
    attributes = [{"token": str(area.id)} for area in areas]
    return MapLayer.from_polygons([area.xyz for area in areas], attributes, where=f"{path}, layer drivable_areas")


def _centerlines(source: "ArgoverseStaticMap", path: Path) -> MapLayer:
    """av2's own: ten points half way between the boundaries."""
    where = f"{path}, layer lane_segments"
    vertices, attributes = [], []
    for lane in source.get_scenario_lane_segments():
        if not (np.isfinite(lane.left_lane_boundary.xyz).all() and np.isfinite(lane.right_lane_boundary.xyz).all()):
            raise DataError(f"{where}, token {lane.id}: a vertex is not finite; mend the map file")
        vertices.append(source.get_lane_segment_centerline(lane.id))
        about = {"token": str(lane.id), "lane_type": lane.lane_type.value, "is_intersection": lane.is_intersection}
        about |= {"successors": list(lane.successors), "predecessors": list(lane.predecessors)}
        about |= {"left_neighbour": lane.left_neighbor_id, "right_neighbour": lane.right_neighbor_id}
        attributes.append(about)
    return MapLayer.from_lines(vertices, attributes, where)
