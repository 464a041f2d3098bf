"""Streets from shapefiles, GeoPackages and GeoJSON through GeoPandas, whatever the columns are called."""

from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from mapstack.errors import DataError

from .extract import OsmExtract, OsmWay
from .tags import GEOFABRIK_ONE_WAY, is_road

__all__ = ["read_shapes"]

WGS84 = "EPSG:4326"
HIGHWAY_COLUMNS = ("highway", "fclass", "type")  # OpenStreetMap's, Geofabrik's, BBBike's
TAG_COLUMNS = ("name", "ref", "lanes", "maxspeed", "bridge", "tunnel", "junction", "layer", "surface")


def read_shapes(path: Path, *, in_world: bool = False) -> OsmExtract:
    """Read lines with their attributes.

    Args:
        path: .shp, .gpkg or .geojson.
        in_world: the coordinates are metres of the map's world frame already, whatever the file says; streets without
            any class are then of class ``road``.

    Returns:
        Streets in lon and lat (or world metres).

    Raises:
        DataError: the file cannot be read, says no coordinate system, or has no column that tells the class of road.
    """
    import geopandas
    from pyogrio.errors import DataLayerError, DataSourceError

    try:
        table = geopandas.read_file(path)
    except (DataSourceError, DataLayerError, OSError) as error:
        raise DataError(f"{path}: GeoPandas cannot read this file ({error}); are .dbf and .shx beside it?") from error
    if not in_world:
        if table.crs is None:
            raise DataError(f"{path}: no coordinate system; put the .prj beside it, or pass in_world=True for metres")
        table = table.to_crs(WGS84)
    column = next((name for name in HIGHWAY_COLUMNS if name in table.columns), None)
    if column is None and not in_world:
        raise DataError(f"{path}: no column tells the class of road; one of {', '.join(HIGHWAY_COLUMNS)} is needed")
    ways = []
    for number, row in enumerate(table.to_dict("records")):
        tags = _tags(row, column, is_geofabrik=column == "fclass")
        if row["geometry"] is None or not is_road(tags):
            continue
        token = str(row.get("osm_id", number))
        lines = [line for line in shapely.get_parts(row["geometry"]) if isinstance(line, shapely.LineString)]
        for k, line in enumerate(lines):
            ways.append(OsmWay(token if len(lines) == 1 else f"{token}-{k}", _xy(line), tags))
    return OsmExtract(str(path), ways)


def _xy(line: shapely.LineString) -> NDArray:
    return np.asarray(shapely.get_coordinates(line), np.float64)


def _tags(row: dict, column: str | None, is_geofabrik: bool) -> dict[str, str]:
    tags = {"highway": _text(row[column]) if column else "road"}
    tags |= {name: text for name in TAG_COLUMNS if name in row and (text := _text(row[name]))}
    if "oneway" in row:
        value = _text(row["oneway"])
        tags["oneway"] = str(GEOFABRIK_ONE_WAY.get(value, 0)) if is_geofabrik else value
    return tags


def _text(value: object) -> str:
    """Columns hold text, numbers or nothing; ``3.0`` is 3."""
    if value is None or value != value:  # not-a-number is how pandas writes nothing
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
