import numpy as np
import pytest
from pyproj import Geod

from mapstack.geometry import geodesy

CITIES = list(geodesy.ARGOVERSE2_ORIGINS)
LOCATIONS = list(geodesy.NUSCENES_ORIGINS)


def test_utm_is_in_metres_on_the_ellipsoid() -> None:
    karlsruhe = np.array([[8.4037, 49.0069], [8.4047, 49.0069]])
    assert geodesy.utm_zone(karlsruhe) == 32
    east, north = np.diff(geodesy.utm_from_wgs84(karlsruhe, 32), axis=0)[0]
    distance = Geod(ellps="WGS84").inv(*karlsruhe[0], *karlsruhe[1])[2]
    assert np.hypot(east, north) == pytest.approx(distance, rel=5e-4)  # UTM's own scale is 0.9996 to 1.001


@pytest.mark.parametrize(("lon_lat", "zone"), [((103.78, 1.29), 48), ((-71.05, 42.3), 19), ((151.2, -33.9), -56)])
def test_utm_zones_and_round_trip(lon_lat: tuple, zone: int) -> None:
    points = np.array([lon_lat]) + np.random.default_rng(0).normal(0, 0.01, (5, 2))
    assert geodesy.utm_zone(points) == zone
    metres = geodesy.utm_from_wgs84(points, zone)
    assert (metres > 0).all()  # the false northing keeps the south positive
    np.testing.assert_allclose(geodesy.wgs84_from_utm(metres, zone), points, atol=1e-9)


@pytest.mark.parametrize("location", LOCATIONS)
def test_nuscenes_frame_is_the_tangent_plane(location: str) -> None:
    points = np.array([[0.0, 0.0], [1000.0, 0.0], [0.0, 1000.0], [431.0, 1215.5]])
    lon_lat = geodesy.wgs84_from_nuscenes(points, location)
    np.testing.assert_allclose(lon_lat[0], geodesy.NUSCENES_ORIGINS[location])
    np.testing.assert_allclose(geodesy.nuscenes_from_wgs84(lon_lat, location), points, atol=1e-6)
    lon0, lat0 = geodesy.NUSCENES_ORIGINS[location]
    x = np.radians(lon_lat[1, 0] - lon0) * np.cos(np.radians(lat0)) * 6378137.0
    assert x == pytest.approx(1000.0) and lon_lat[2, 0] == pytest.approx(lon0)


def test_origins_are_those_of_the_devkit() -> None:
    from nuscenes.map_expansion import map_api  # slow to import

    assert set(map_api.locations) == set(LOCATIONS)
    for location, (lon, lat) in geodesy.NUSCENES_ORIGINS.items():
        assert f"{location}: [{lat}, {lon}]" in map_api.NuScenesMap.__doc__


@pytest.mark.parametrize("city", CITIES)
def test_argoverse2_frame_agrees_with_av2(city: str) -> None:
    from av2.geometry import utm

    points = np.array([[0.0, 0.0], [5236.97, 2364.34], [-800.0, 1200.0]])
    lat_lon = utm.convert_city_coords_to_wgs84(points, utm.CityName(city))
    np.testing.assert_allclose(geodesy.wgs84_from_argoverse2(points, city), lat_lon[:, ::-1], atol=1e-10)
    np.testing.assert_allclose(geodesy.argoverse2_from_wgs84(lat_lon[:, ::-1], city), points, atol=1e-5)


def test_unknown_names_and_swapped_axes_are_refused() -> None:
    with pytest.raises(ValueError, match="singapore-onenorth"):
        geodesy.nuscenes_from_wgs84(np.zeros((1, 2)), "singapore")
    with pytest.raises(ValueError, match="PIT"):
        geodesy.wgs84_from_argoverse2(np.zeros((1, 2)), "NYC")
    with pytest.raises(ValueError, match="lon, lat"):
        geodesy.utm_zone(np.array([[1.29, 103.78]]))
    with pytest.raises(ValueError, match="zone"):
        geodesy.utm_from_wgs84(np.zeros((1, 2)), 61)
