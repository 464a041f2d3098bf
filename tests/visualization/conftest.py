import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pyquaternion import Quaternion

from mapstack.geometry.se3 import invert, make_transform, transform_points
from mapstack.visualization.camera import CameraView


@dataclass
class Keyframe:
    """The real keyframe, read straight from its tables, so that the drawing is tested without our own reader."""

    views: list[CameraView]
    points: NDArray
    ring: NDArray
    world_from_ego: NDArray


def _transform(row: dict) -> NDArray:
    return make_transform(Quaternion(row["rotation"]).rotation_matrix, row["translation"])


@pytest.fixture(scope="session")
def keyframe(shared: Path) -> Keyframe:
    root = shared / "nuscenes_keyframe"
    tables = {}
    for name in ("sample_data", "calibrated_sensor", "ego_pose"):
        rows = json.loads((root / "v1.0-mini" / f"{name}.json").read_text())
        tables[name] = {row["token"]: row for row in rows}
    sensors = {Path(row["filename"]).parent.name: row for row in tables["sample_data"].values()}
    poses = {name: _transform(tables["ego_pose"][row["ego_pose_token"]]) for name, row in sensors.items()}
    calibrations = {name: tables["calibrated_sensor"][row["calibrated_sensor_token"]] for name, row in sensors.items()}
    world_from_ego = poses["LIDAR_TOP"]
    views = []
    for name in sorted(sensors.keys() - {"LIDAR_TOP"}):
        ego_from_camera = invert(world_from_ego) @ poses[name] @ _transform(calibrations[name])
        image = np.ascontiguousarray(cv2.imread(str(root / sensors[name]["filename"]))[..., ::-1])
        intrinsics = np.array(calibrations[name]["camera_intrinsic"])
        views.append(CameraView(name, image, intrinsics, ego_from_camera))
    lidar = np.fromfile(root / sensors["LIDAR_TOP"]["filename"], np.float32).reshape(-1, 5).astype(float)
    points = transform_points(_transform(calibrations["LIDAR_TOP"]), lidar[:, :3])
    return Keyframe(views, points, lidar[:, 4], world_from_ego)


@pytest.fixture(scope="session")
def real_lines(shared: Path) -> dict[str, list[NDArray]]:
    """Real lines around the keyframe, (n, 2) world metres, by class."""
    collection = json.loads((shared / "nuscenes_maps" / "scene-0061.geojson").read_text())
    kinds = {
        "ROAD_LINE_BROKEN_SINGLE_WHITE": "divider",
        "ROAD_LINE_SOLID_SINGLE_YELLOW": "divider",
        "ROAD_LINE_SOLID_SINGLE_WHITE": "boundary",
    }
    lines: dict[str, list[NDArray]] = {"divider": [], "boundary": []}
    for feature in collection["features"]:
        kind = kinds.get(feature["properties"]["type"])
        if kind:
            lines[kind].append(np.array(feature["geometry"]["coordinates"])[:, :2])
    return lines
