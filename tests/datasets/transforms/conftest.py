"""Frames made by hand: a small map, cameras and LiDAR that see its vertices."""

import numpy as np
import pytest

from mapstack.datasets.transforms import truth
from mapstack.geometry.se3 import make_transform, rotation_z
from mapstack.maps import MapLayer, VectorMap

WORLD_FROM_EGO = make_transform(rotation_z(0.7), np.array([500.0, 300.0, 2.0]))


def to_world(points: list) -> np.ndarray:
    points = np.asarray(points, float)
    return points @ rotation_z(0.7)[:2, :2].T + [500.0, 300.0]


@pytest.fixture
def small_map(monkeypatch: pytest.MonkeyPatch) -> VectorMap:
    """In ego metres: two dividers, a crossing, a boundary ring around a block, a lane along x."""
    layers = {
        "road_divider": MapLayer.from_lines([to_world([(-80, 1), (80, 1)]), to_world([(5, 3), (8, 6), (20, 7)])]),
        "ped_crossing": MapLayer.from_polygons([to_world([(-6, -5), (-2, -5), (-2, 5), (-6, 5)])]),
        "boundary": MapLayer.from_lines([to_world([(5, -10), (15, -10), (15, -4), (5, -4), (5, -10)])]),
        "centerline": MapLayer.from_lines([to_world([(-80, -1.5), (80, -1.5)])], [{"token": "lane", "successors": []}]),
    }
    vector_map = VectorMap(layers)
    monkeypatch.setattr(truth, "cached_map", lambda kind, root, name: vector_map)
    return vector_map


@pytest.fixture
def frame() -> dict:
    """What MapDataset gives the pipeline, less the files: tests put loaded arrays in themselves."""
    return {
        "token": "t0",
        "scene": "s0",
        "timestamp_ns": 1,
        "location": "here",
        "seed": 1,
        "world_from_ego": WORLD_FROM_EGO.copy(),
        "cameras": [],
        "lidar": None,
        "map_kind": "geojson",
        "map_root": "map.geojson",
        "map_name": None,
    }
