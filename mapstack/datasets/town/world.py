"""The whole town: districts of streets for training and others, far away, for validation."""

from dataclasses import dataclass

import numpy as np

from mapstack.errors import ConfigError

from .boxes import Boxes
from .elements import DistrictMap, build_map
from .layout import place_districts, sketch_district
from .network import build_network
from .scenery import build_scenery

__all__ = ["SIZES", "District", "ScenePlan", "TownSize", "World", "grow_world", "rng_for"]


@dataclass(frozen=True)
class TownSize:
    """How much town to make.

    Args:
        train_districts: grids of junctions (columns, rows), one a training district.
        val_districts: the same for validation.
        train_scenes: drives through the training districts.
        val_scenes: drives through the validation districts.
        keyframes: keyframes a drive, at 2 Hz.
        sweeps: LiDAR sweeps between two keyframes.
        image_width: pixels; the height follows the camera's shape.
        azimuths: LiDAR firings a turn.
        logs: Argoverse 2 logs (train, val).
        log_sweeps: sweeps a log, at 10 Hz, each with its pictures.
    """

    train_districts: tuple[tuple[int, int], ...]
    val_districts: tuple[tuple[int, int], ...]
    train_scenes: int
    val_scenes: int
    keyframes: int
    sweeps: int
    image_width: int
    azimuths: int
    logs: tuple[int, int]
    log_sweeps: int


SIZES = {
    "tiny": TownSize(((3, 2),), ((3, 2),), 2, 1, 6, 2, 200, 240, (1, 1), 3),
    "small": TownSize(((4, 4),) * 3, ((4, 4),) * 2, 30, 6, 20, 3, 400, 640, (3, 1), 20),
    # One district with so few streets that every one is driven several times: for maps of earlier drives.
    "revisited": TownSize(((3, 2),), ((3, 2),), 40, 1, 30, 1, 200, 120, (1, 1), 3),
    # The same with so many drives that a network can learn the place of every view: for localisation.
    "localisation": TownSize(((3, 2),), ((3, 2),), 200, 1, 30, 1, 200, 60, (1, 1), 3),
    "large": TownSize(((4, 4),) * 10, ((4, 4),) * 2, 150, 30, 20, 4, 400, 720, (10, 3), 60),
}


@dataclass(frozen=True)
class District:
    """One district: its split, its map, and what stands beside its streets."""

    split: str
    map: DistrictMap
    scenery: Boxes


@dataclass(frozen=True)
class ScenePlan:
    """A drive to make: its number in the town, its name, its split, its district and the lane it begins on."""

    number: int
    name: str
    split: str
    district: int
    lane: int


@dataclass(frozen=True)
class World:
    """Everything that the writers need."""

    seed: int
    size: TownSize
    districts: list[District]
    scenes: list[ScenePlan]
    logs: list[ScenePlan]


def rng_for(seed: int, *path: int) -> np.random.Generator:
    """A generator that depends on the seed and on what it is for, never on who ran before."""
    return np.random.default_rng([seed, *path])


def grow_world(seed: int, size: str) -> World:
    """Lay out streets, scenery and drives.

    Raises:
        ConfigError: ``size`` is not one of :data:`SIZES`.
    """
    if size not in SIZES:
        raise ConfigError(f"no town size {size!r}; choose one of {', '.join(SIZES)}")
    town = SIZES[size]
    splits = ["train"] * len(town.train_districts) + ["val"] * len(town.val_districts)
    grids = town.train_districts + town.val_districts
    rngs = [rng_for(seed, 1, i) for i in range(len(grids))]
    sketches = [sketch_district(rng, *grid) for rng, grid in zip(rngs, grids, strict=True)]
    districts = []
    for split, sketch, rng in zip(splits, place_districts(sketches, per_row=3), rngs, strict=True):
        district = build_map(build_network(sketch, rng))
        districts.append(District(split, district, build_scenery(district, rng)))
    scenes = _plans(districts, seed, ("train", town.train_scenes), ("val", town.val_scenes), "scene-{:04d}", 2)
    logs = _plans(districts, seed, ("train", town.logs[0]), ("val", town.logs[1]), "log-{:04d}", 3)
    return World(seed, town, districts, scenes, logs)


def _plans(
    districts: list[District], seed: int, train: tuple[str, int], val: tuple[str, int], name: str, purpose: int
) -> list[ScenePlan]:
    """Drives spread over districts and lanes, so that few streets are driven twice."""
    plans: list[ScenePlan] = []
    for split, count in (train, val):
        rng = rng_for(seed, purpose, len(plans))
        homes = [i for i, district in enumerate(districts) if district.split == split]
        lanes = {i: rng.permutation(len(districts[i].map.lanes)) for i in homes}
        for k in range(count):
            home = homes[k % len(homes)]
            lane = int(lanes[home][(k // len(homes)) % len(lanes[home])])
            number = len(plans) + 1
            plans.append(ScenePlan(number, name.format(number), split, home, lane))
    return plans
