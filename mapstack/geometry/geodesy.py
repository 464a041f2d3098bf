"""Between WGS84 and the metric frames of the data sets; points are (lon, lat) degrees or (x, y) metres."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pyproj import Proj

__all__ = [
    "ARGOVERSE2_ORIGINS",
    "NUSCENES_ORIGINS",
    "argoverse2_from_wgs84",
    "nuscenes_from_wgs84",
    "tangent_from_wgs84",
    "utm_from_wgs84",
    "utm_zone",
    "wgs84_from_argoverse2",
    "wgs84_from_nuscenes",
    "wgs84_from_tangent",
    "wgs84_from_utm",
]

EARTH_RADIUS_M = 6_378_137.0

# (lon, lat) of the south-western corner of each nuScenes map: the devkit's numbers, turned round.
NUSCENES_ORIGINS = {
    "boston-seaport": (-71.05785369873047, 42.336849169438615),
    "singapore-onenorth": (103.78475189208984, 1.2882100868743724),
    "singapore-hollandvillage": (103.78217697143555, 1.2993652317780957),
    "singapore-queenstown": (103.76741409301758, 1.2782562240223188),
}

# (lon, lat, UTM zone) of each Argoverse 2 city frame: the numbers of av2.geometry.utm, which a test compares.
ARGOVERSE2_ORIGINS = {
    "ATX": (-97.7404457407424, 30.27464237939507, 14),
    "DTW": (-83.17555750783717, 42.29993066912924, 17),
    "MIA": (-80.19656914449405, 25.77452579915163, 17),
    "PAO": (-122.13571963362166, 37.416065, 10),
    "PIT": (-80.01294377242584, 40.44177902989321, 17),
    "WDC": (-77.0355047439081, 38.889377, 18),
}


def utm_zone(lon_lat: NDArray) -> int:
    """Signed UTM zone of the mean of (..., 2) lon, lat: negative south of the equator (no Norwegian exceptions)."""
    lon, lat = np.asarray(lon_lat, dtype=float).reshape(-1, 2).mean(0)
    if not (np.isfinite([lon, lat]).all() and abs(lat) <= 84):
        raise ValueError(f"UTM covers latitudes of -84 to 84 degrees, got lon {lon}, lat {lat}; is the order lon, lat?")
    zone = int((lon + 180.0) // 6) % 60 + 1
    return zone if lat >= 0 else -zone


@lru_cache
def _utm(zone: int) -> Proj:
    if not 1 <= abs(zone) <= 60:
        raise ValueError(f"a UTM zone is 1 to 60, negative in the south, got {zone}")
    return Proj(proj="utm", zone=abs(zone), south=zone < 0, ellps="WGS84", units="m")


def utm_from_wgs84(lon_lat: NDArray, zone: int) -> NDArray:
    """Easting and northing.

    Args:
        lon_lat: (..., 2) degrees.
        zone: signed as :func:`utm_zone` gives it; points of a neighbouring zone are expressed in this one.

    Returns:
        (..., 2) metres.
    """
    lon_lat = np.asarray(lon_lat, dtype=float)
    return np.stack(_utm(zone)(lon_lat[..., 0], lon_lat[..., 1]), axis=-1)


def wgs84_from_utm(points: NDArray, zone: int) -> NDArray:
    """Undo :func:`utm_from_wgs84`: (..., 2) metres to (..., 2) lon, lat degrees."""
    points = np.asarray(points, dtype=float)
    return np.stack(_utm(zone)(points[..., 0], points[..., 1], inverse=True), axis=-1)


def tangent_from_wgs84(lon_lat: NDArray, origin: tuple[float, float]) -> NDArray:
    """Local tangent plane with a sphere's radius: x = (lon - lon0) cos(lat0) R, y = (lat - lat0) R.

    Args:
        lon_lat: (..., 2) degrees, within some kilometres of the origin.
        origin: lon, lat degrees of x = y = 0.

    Returns:
        (..., 2) metres, x east, y north.
    """
    offset = np.radians(np.asarray(lon_lat, dtype=float) - np.asarray(origin))
    return offset * EARTH_RADIUS_M * np.array([np.cos(np.radians(origin[1])), 1.0])


def wgs84_from_tangent(points: NDArray, origin: tuple[float, float]) -> NDArray:
    """Undo :func:`tangent_from_wgs84`: (..., 2) metres to (..., 2) lon, lat degrees."""
    scale = EARTH_RADIUS_M * np.array([np.cos(np.radians(origin[1])), 1.0])
    return np.degrees(np.asarray(points, dtype=float) / scale) + np.asarray(origin)


def _known(table: dict, name: str, what: str) -> tuple:
    if name not in table:
        raise ValueError(f"unknown {what} {name!r}; known are {', '.join(table)}")
    return table[name]


def nuscenes_from_wgs84(lon_lat: NDArray, location: str) -> NDArray:
    """World metres of a nuScenes map: its frame is the tangent plane above, not UTM less an origin (8 to 30 m off)."""
    return tangent_from_wgs84(lon_lat, _known(NUSCENES_ORIGINS, location, "nuScenes location"))


def wgs84_from_nuscenes(points: NDArray, location: str) -> NDArray:
    """Undo :func:`nuscenes_from_wgs84`."""
    return wgs84_from_tangent(points, _known(NUSCENES_ORIGINS, location, "nuScenes location"))


def argoverse2_from_wgs84(lon_lat: NDArray, city: str) -> NDArray:
    """City metres of Argoverse 2: UTM less the city's origin."""
    lon, lat, zone = _known(ARGOVERSE2_ORIGINS, city, "Argoverse 2 city")
    return utm_from_wgs84(lon_lat, zone) - utm_from_wgs84(np.array([lon, lat]), zone)


def wgs84_from_argoverse2(points: NDArray, city: str) -> NDArray:
    """Undo :func:`argoverse2_from_wgs84`."""
    lon, lat, zone = _known(ARGOVERSE2_ORIGINS, city, "Argoverse 2 city")
    return wgs84_from_utm(np.asarray(points, dtype=float) + utm_from_wgs84(np.array([lon, lat]), zone), zone)
