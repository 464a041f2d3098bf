"""The town's HD map as of some years ago: what was changed since then is undone, and listed.

A map has one past, so the draws depend on the tile of ground that an element lies in, never on who looks at it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import shapely
from shapely import LineString, Polygon
from shapely.geometry.base import BaseGeometry

from mapstack.maps import MapLayer, VectorMap, load_nuscenes

from .nuscenes_map import LOCATION
from .world import rng_for

__all__ = ["write_aged_map"]

TILE_M = 60.0
DIVIDERS, CROSSINGS, ROADS = ("lane_divider", "road_divider"), "ped_crossing", "road_segment"
REMOVED_SHARE = {"lane_divider": 0.10, "road_divider": 0.08, "ped_crossing": 0.18}
SHIFTED_SHARE = {"lane_divider": 0.15, "road_divider": 0.12, "ped_crossing": 0.15}
ADDED_SHARE = {"lane_divider": 0.06, "ped_crossing": 0.10}
WIDENED_SHARE = 0.12
LINE_SHIFT_M, CROSSING_SHIFT_M, WIDENED_M = (0.5, 1.6), (1.5, 6.0), (0.8, 2.5)
PURPOSES = {"lane_divider": 0, "road_divider": 1, "ped_crossing": 2, "road_segment": 3}


@dataclass
class _Ager:
    """Ages one layer at a time and keeps the list of changes."""

    seed: int
    changes: list[dict] = field(default_factory=list)

    def age(self, name: str, layer: MapLayer, alter: Callable) -> MapLayer:
        """The layer with each record kept, changed, doubled or gone, as ``alter(name, shape, rng)`` says."""
        order = np.argsort(np.array(layer.tokens))  # a tile's draws do not depend on the order in the file
        tiles: dict[tuple[int, int], np.random.Generator] = {}
        results: dict[int, tuple[str, list[BaseGeometry], dict]] = {}
        for i in order:
            center = layer.geometries[i].centroid
            tile = int(center.x // TILE_M), int(center.y // TILE_M)
            if tile not in tiles:
                tiles[tile] = rng_for(self.seed, 9, PURPOSES[name], tile[0] % 2**16, tile[1] % 2**16)
            operation, shapes, details = alter(name, layer.geometries[i], tiles[tile])
            results[int(i)] = operation, shapes, {"tile": list(tile), **details}
        shapes, attributes = [], []
        for i, token in enumerate(layer.tokens):
            operation, kept, details = results[i]
            if operation != "kept":
                self.changes.append({"layer": name, "token": token, "operation": operation, **details})
            for k, shape in enumerate(kept):
                shapes.append(shape)
                attributes.append({**layer.attributes[i], "token": token if k == 0 else f"{token}-added"})
        geometries = np.empty(len(shapes), dtype=object)
        geometries[:] = shapes
        return MapLayer(geometries, tuple(attributes))


def write_aged_map(nuscenes_root: Path, path: Path, seed: int) -> None:
    """Write the aged map as GeoJSON, and beside it ``<name>.changes.json`` with one entry a change.

    An entry names the layer, the token of today's record, the operation (removed, shifted, added: seen from today's
    map to the aged one), the tile, and how far in metres.
    """
    fresh = load_nuscenes(nuscenes_root, LOCATION)
    ager = _Ager(seed)
    layers = dict(fresh.layers)
    for name, alter in (*((name, _alter_line) for name in DIVIDERS), (CROSSINGS, _alter_crossing), (ROADS, _widen)):
        layers[name] = ager.age(name, layers[name], alter)
    VectorMap(layers, name=f"{LOCATION}, aged", source="nuscenes").to_geojson(path)
    path.with_suffix(".changes.json").write_text(json.dumps(ager.changes, indent=1))


def _draw(name: str, rng: np.random.Generator) -> str:
    chance = rng.random()
    for operation, shares in (("removed", REMOVED_SHARE), ("shifted", SHIFTED_SHARE), ("added", ADDED_SHARE)):
        chance -= shares.get(name, 0.0)
        if chance < 0.0:
            return operation
    return "kept"


def _alter_line(name: str, line: LineString, rng: np.random.Generator) -> tuple[str, list[BaseGeometry], dict]:
    """Gone, moved sideways, or with a second line beside it that was painted over since."""
    operation, by = _draw(name, rng), float(rng.uniform(*LINE_SHIFT_M) * rng.choice([-1.0, 1.0]))
    if operation == "removed":
        return operation, [], {}
    moved = line.offset_curve(by if operation == "shifted" else 2.0 * by)
    if operation == "kept" or not isinstance(moved, LineString) or moved.is_empty:
        return "kept", [line], {}
    return operation, [moved] if operation == "shifted" else [line, moved], {"meters": by}


def _alter_crossing(name: str, shape: Polygon, rng: np.random.Generator) -> tuple[str, list[BaseGeometry], dict]:
    """Gone, moved along the road, or with another one farther on."""
    operation, by = _draw(name, rng), float(rng.uniform(*CROSSING_SHIFT_M) * rng.choice([-1.0, 1.0]))
    corners = shapely.get_coordinates(shape)
    along = corners[3] - corners[0]  # from one long edge to the other: the direction of the road
    step = along / np.hypot(*along) * (by if operation == "shifted" else 3.0 * by)
    moved = shapely.transform(shape, lambda points: points + step)
    kept = {"removed": [], "shifted": [moved], "added": [shape, moved], "kept": [shape]}[operation]
    return operation, kept, {} if operation in ("removed", "kept") else {"meters": by}


def _widen(name: str, shape: Polygon, rng: np.random.Generator) -> tuple[str, list[BaseGeometry], dict]:
    """Wider than today: the kerb has been moved in since."""
    by = float(rng.uniform(*WIDENED_M))
    if rng.random() >= WIDENED_SHARE:
        return "kept", [shape], {}
    wider = shape.buffer(by, join_style="mitre")
    return ("shifted", [wider], {"meters": by}) if isinstance(wider, Polygon) else ("kept", [shape], {})
