"""OpenStreetMap as a vector map: the streets that a car can use, with crossings and signals, in a metric frame."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mapstack.errors import DataError
from mapstack.geometry.geodesy import (
    ARGOVERSE2_ORIGINS,
    NUSCENES_ORIGINS,
    argoverse2_from_wgs84,
    nuscenes_from_wgs84,
    tangent_from_wgs84,
)
from mapstack.maps.vector_map import VectorMap

from .extract import OSM_CROSSINGS, ROADS, SIGNALS, OsmExtract, build_map
from .files import read_osm_file
from .graphs import download_osm, read_graphml
from .shapes import read_shapes
from .tags import CAR_HIGHWAYS, ROAD_CLASSES, Highway

__all__ = [
    "CAR_HIGHWAYS",
    "OSM_CROSSINGS",
    "ROADS",
    "ROAD_CLASSES",
    "SIGNALS",
    "Highway",
    "Place",
    "fetch_osm",
    "load_osm",
    "world_from_wgs84",
]

SHAPES = (".shp", ".gpkg", ".geojson")
OSM_ENDINGS = (".osm", ".xml", ".osm.bz2", ".osm.gz", ".osm.pbf", ".pbf")

Place = str | tuple[float, float]


def world_from_wgs84(place: Place) -> Callable[[NDArray], NDArray]:
    """The function from (n, 2) lon, lat degrees to (n, 2) world metres.

    Args:
        place: a nuScenes location, an Argoverse 2 city (each has its own frame on Earth), or the (lon, lat) of the
            origin of a local tangent plane for recordings of one's own.
    """
    if not isinstance(place, str):
        lon, lat = map(float, place)
        if not (abs(lon) <= 180 and abs(lat) < 90):
            raise DataError(f"the origin of a map must be (lon, lat) in degrees, got {place}")
        return lambda points: tangent_from_wgs84(points, (lon, lat))
    if place in NUSCENES_ORIGINS:
        return lambda points: nuscenes_from_wgs84(points, place)
    if place in ARGOVERSE2_ORIGINS:
        return lambda points: argoverse2_from_wgs84(points, place)
    known = ", ".join((*NUSCENES_ORIGINS, *ARGOVERSE2_ORIGINS))
    raise DataError(f"unknown place {place!r}; choose {known}, or give the (lon, lat) of the world's origin")


def load_osm(path: str | Path, place: Place, *, cut_at_missing: bool = False, in_world: bool = False) -> VectorMap:
    """Read an OpenStreetMap file of any of the usual formats.

    Args:
        path: .osm, .osm.bz2, .osm.gz or .osm.pbf (pyosmium), .graphml (OSMnx), .shp, .gpkg or .geojson (GeoPandas).
        place: whose world frame the map is wanted in, see :func:`world_from_wgs84`; unused with ``in_world``.
        cut_at_missing: keep the parts of ways whose nodes are not all in the file, instead of raising.
        in_world: the file's coordinates are world metres already.

    Returns:
        Layers ``road``, ``osm_crossing`` and ``traffic_signals``; :func:`mapstack.maps.osm.extract.build_map` says what
        is in them.

    Raises:
        DataError: the file or something in it cannot be used; file and element are named.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"no OpenStreetMap file {path}; docs/PRIORS.md says how to get one")
    if path.name.endswith(OSM_ENDINGS):
        extract = read_osm_file(path, cut_at_missing=cut_at_missing)
    elif path.suffix == ".graphml":
        extract = read_graphml(path)
    elif path.suffix in SHAPES:
        extract = read_shapes(path, in_world=in_world)
    else:
        raise DataError(f"{path}: unknown ending; choose one of {', '.join((*OSM_ENDINGS, '.graphml', *SHAPES))}")
    return build_map(extract, np.asarray if in_world else world_from_wgs84(place))


def fetch_osm(
    lon_lat_box: tuple[float, float, float, float], place: Place, cache_dir: str | Path | None = None
) -> VectorMap:
    """Download the streets of a box (west, south, east, north degrees); OSMnx keeps the answer in ``cache_dir``."""
    extract: OsmExtract = download_osm(lon_lat_box, None if cache_dir is None else Path(cache_dir))
    return build_map(extract, world_from_wgs84(place))
