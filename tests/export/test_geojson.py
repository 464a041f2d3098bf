import json
from pathlib import Path

import numpy as np

from mapstack.export.geojson import prediction_geojson
from mapstack.geometry.se3 import make_transform, rotation_z
from mapstack.maps import load_geojson

CLASSES = ("divider", "ped_crossing", "boundary", "centerline")
WORLD_FROM_EGO = make_transform(rotation_z(np.pi / 2), np.array([100.0, 200.0, 7.0]))
LINES = [
    np.array([[0.0, 0], [10, 0]]),
    np.array([[0.0, 0], [4, 0], [4, 2], [0, 2]]),
    np.array([[0.0, 5], [0, 9]]),
    np.array([[1.0, 1], [2, 1]]),
]


def test_our_own_reader_opens_it_and_finds_it_in_the_world(tmp_path: Path) -> None:
    content = prediction_geojson(LINES, np.arange(4), np.full(4, 0.5), CLASSES, WORLD_FROM_EGO, "frame")
    path = tmp_path / "frame.geojson"
    path.write_text(json.dumps(content, allow_nan=False))
    layers = load_geojson(path).layers
    assert {name: len(layer) for name, layer in layers.items()} == {
        "lane_divider": 1,
        "ped_crossing": 1,
        "boundary": 1,
        "centerline": 1,
    }
    np.testing.assert_allclose(layers["lane_divider"].geometries[0].coords, [[100, 200], [100, 210]])
    assert layers["ped_crossing"].geometries[0].area == 8
    assert content["features"][0]["properties"]["score"] == 0.5


def test_roll_and_pitch_do_not_tilt_the_map() -> None:
    tilted = WORLD_FROM_EGO.copy()
    pitch = np.deg2rad(8)
    turn = np.array([[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]])
    tilted[:3, :3] = tilted[:3, :3] @ turn
    level, leaning = (
        prediction_geojson(LINES[:1], [0], [0.5], CLASSES, pose, "frame") for pose in (WORLD_FROM_EGO, tilted)
    )
    assert level == leaning


def test_what_has_no_extent_is_left_out() -> None:
    points = [np.zeros((4, 2)), np.array([[0.0, 0], [3, 0], [0, 0]])]  # a point; a crossing without area
    content = prediction_geojson(points, [0, 1], [0.5, 0.5], CLASSES, WORLD_FROM_EGO, "frame")
    assert content["features"] == []
    assert prediction_geojson([], [], [], CLASSES, WORLD_FROM_EGO, "frame")["features"] == []


def test_heights_and_classes_of_ones_own_are_kept() -> None:
    line = np.array([[0.0, 0, 1.5], [1, 0, 1.7]])
    (feature,) = prediction_geojson([line], [0], [0.9], ("stop_line",), WORLD_FROM_EGO, "frame")["features"]
    assert feature["properties"]["layer"] == "stop_line"
    np.testing.assert_allclose(feature["geometry"]["coordinates"], [[100, 200, 8.5], [100, 201, 8.7]])
