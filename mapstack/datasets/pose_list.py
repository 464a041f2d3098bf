"""Leakage of a nuScenes split from a list of poses alone (scene, token, x_m, y_m), without the data set.

The list names no city, and world coordinates of different cities overlap, so the city comes from the far-extrapolation
splits, which are made by city. Hollandvillage and queenstown cannot be told apart that way and count as one.
"""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from mapstack.datasets.leakage import Leakage, measure_leakage
from mapstack.datasets.splits import read_split
from mapstack.errors import DataError

__all__ = ["city_of_scenes", "split_leakage"]


def city_of_scenes() -> dict[str, str]:
    """City of each of the 1,000 scenes, as far as the far-extrapolation splits tell."""
    boston_onenorth = set(read_split("nuscenes", "geo_far_A")["train"])
    split = read_split("nuscenes", "geo_far_B")
    cities = dict.fromkeys(split["val"], "singapore-onenorth")
    for scene in split["train"]:
        cities[scene] = "boston-seaport" if scene in boston_onenorth else "hollandvillage/queenstown"
    return cities


def split_leakage(poses: Path, name: str, radius_m: float = 5.0) -> tuple[list[Leakage], dict[str, tuple[int, int]]]:
    """Measure a split on the poses that the list has.

    Returns:
        The leakage, and for train and val how many of the split's scenes the list has, of how many. A training scene
        without poses cannot be seen to leak: with scenes missing, the measured share is a lower bound.
    """
    table = pq.read_table(poses, columns=["scene", "x_m", "y_m"])
    scenes = np.array(table.column("scene").to_pylist())
    xy = np.stack([table.column(name).to_numpy() for name in ("x_m", "y_m")], axis=1)
    cities = city_of_scenes()
    locations = np.array([cities.get(scene, "unknown") for scene in scenes])
    parts = read_split("nuscenes", name)
    if "val" not in parts or "train" not in parts:
        raise DataError(f"split {name!r} needs train and val to be measured")
    member = {part: np.isin(scenes, parts[part]) for part in ("train", "val")}
    known = {part: (len(set(scenes[member[part]])), len(parts[part])) for part in member}
    for part, (have, wanted) in known.items():
        if not have:
            raise DataError(f"{poses} has no pose of the {wanted} {part} scenes of split {name!r}: prepare an index")
    train, val = member["train"], member["val"]
    return measure_leakage(xy[train], locations[train], xy[val], locations[val], radius_m), known
