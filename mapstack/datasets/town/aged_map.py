"""The town's HD map as of some years ago, aged by :mod:`mapstack.maps.stale`."""

from pathlib import Path

from mapstack.maps import load_nuscenes
from mapstack.maps.changes import write_changes
from mapstack.maps.stale import Ageing, age_map

from .nuscenes_map import LOCATION

__all__ = ["write_aged_map"]

STRENGTH = 1.0


def write_aged_map(nuscenes_root: Path, path: Path, seed: int) -> None:
    """Write the aged map as GeoJSON, and beside it ``<name>.changes.json`` with one entry a change.

    Elements have changed; the survey is without error, so that what has not changed lies where it does today.
    """
    aged = age_map(load_nuscenes(nuscenes_root, LOCATION), Ageing.at(STRENGTH).local_only(), seed)
    aged.vector_map.to_geojson(path)
    write_changes(path.with_suffix(".changes.json"), aged.changes)
