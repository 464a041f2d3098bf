"""The real drives of ../shared/data: each with its HD map, its ego poses and OpenStreetMap's streets around it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from numpy.typing import NDArray

from mapstack.errors import DataError
from mapstack.maps import VectorMap, load_argoverse2, load_geojson, load_osm
from mapstack.maps.prior_lines import PriorLines

from .trajectories import read_argoverse2_trajectory, read_ego_track

__all__ = ["ExampleDrive", "example_drives"]

LOCATIONS = {"0061": "singapore-onenorth", **dict.fromkeys(("0103", "0655", "0757"), "boston-seaport")}
LOCATIONS |= dict.fromkeys(("1077", "1094"), "singapore-hollandvillage")


@dataclass(frozen=True)
class ExampleDrive:
    """One of them.

    Args:
        name: ``scene-XXXX`` of nuScenes, or the log of Argoverse 2.
        source: "nuScenes" or "Argoverse 2".
        vector_map: the HD map.
        times_s: (N,) seconds.
        world_from_ego: (N, 4, 4).
        streets: of the location or city.
    """

    name: str
    source: str
    vector_map: VectorMap
    times_s: NDArray
    world_from_ego: NDArray
    streets: PriorLines


def example_drives(data: Path) -> Iterator[ExampleDrive]:
    """Read them one by one.

    Args:
        data: the folder ``data`` of MAPSTACK_SHARED.

    Raises:
        DataError: it holds no drive.
    """
    scenes = sorted((data / "nuscenes_maps").glob("scene-*.geojson"))
    logs = sorted((data / "argoverse2/sensor/val").glob("*"))
    if not scenes and not logs:
        raise DataError(f"no maps with drives under {data}; set MAPSTACK_SHARED, or the tool's path to the recordings")
    for path in scenes:
        location = LOCATIONS[path.stem.removeprefix("scene-")]
        streets = PriorLines.from_streets(load_osm(data / "osm" / f"{location}.shp", location))
        track = read_ego_track(path.with_suffix(".ego.json"))
        yield ExampleDrive(path.stem, "nuScenes", load_geojson(path), *track, streets)
    city = data / "osm" / "argoverse2-PIT.city.geojson"
    for log in logs:
        streets = PriorLines.from_streets(load_osm(city, "PIT", in_world=True))
        yield ExampleDrive(log.name, "Argoverse 2", load_argoverse2(log), *read_argoverse2_trajectory(log), streets)
