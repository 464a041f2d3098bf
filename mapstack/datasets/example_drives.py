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

LOCATIONS = {
    "scene-0061": "singapore-onenorth",
    **dict.fromkeys(("scene-0103", "scene-0655", "scene-0757"), "boston-seaport"),
    **dict.fromkeys(("scene-1077", "scene-1094"), "singapore-hollandvillage"),
}
ARGOVERSE2_CITY = "PIT"  # of both logs


@dataclass(frozen=True)
class ExampleDrive:
    """One of them.

    Args:
        name: ``scene-NNNN`` of nuScenes, or the log of Argoverse 2.
        source: "nuScenes" or "Argoverse 2".
        vector_map: the HD map.
        times_s: (N,) seconds.
        world_from_ego: (N, 4, 4).
        street_file: the streets of its location or city.
        place: the location's or city's name.
    """

    name: str
    source: str
    vector_map: VectorMap
    times_s: NDArray
    world_from_ego: NDArray
    street_file: Path
    place: str

    def streets(self) -> PriorLines:
        """OpenStreetMap's, in the drive's world; read now."""
        in_world = self.street_file.name.endswith(".city.geojson")
        return PriorLines.from_streets(load_osm(self.street_file, self.place, in_world=in_world))


def example_drives(data: Path, name: str | None = None) -> Iterator[ExampleDrive]:
    """Read them one by one.

    Args:
        data: the folder ``data`` of MAPSTACK_SHARED.
        name: of the only one wanted; None for all.

    Raises:
        DataError: it holds no drive, none of that name, or one of a scene whose location is not known here.
    """
    scenes = sorted((data / "nuscenes_maps").glob("scene-*.geojson"))
    logs = sorted((data / "argoverse2/sensor/val").glob("*"))
    if not scenes and not logs:
        raise DataError(f"no maps with drives under {data}; set MAPSTACK_SHARED, or the tool's path to the recordings")
    names = [*(path.stem for path in scenes), *(log.name for log in logs)]
    if name is not None and name not in names:
        raise DataError(f"{data} has no drive {name!r}; it has {', '.join(names)}")
    for path in (path for path in scenes if name in (None, path.stem)):
        if path.stem not in LOCATIONS:
            raise DataError(f"{path}: where {path.stem} was driven is not known; add it to {__name__}.LOCATIONS")
        place = LOCATIONS[path.stem]
        track = read_ego_track(path.with_suffix(".ego.json"))
        streets = data / "osm" / f"{place}.shp"
        yield ExampleDrive(path.stem, "nuScenes", load_geojson(path), *track, streets, place)
    for log in (log for log in logs if name in (None, log.name)):
        track = read_argoverse2_trajectory(log)
        streets = data / "osm" / f"argoverse2-{ARGOVERSE2_CITY}.city.geojson"
        yield ExampleDrive(log.name, "Argoverse 2", load_argoverse2(log), *track, streets, ARGOVERSE2_CITY)
