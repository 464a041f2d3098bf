import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pyquaternion import Quaternion

from mapstack.geometry import BEVGrid
from mapstack.geometry.se3 import invert, make_transform, planar_pose, transform_points
from mapstack.maps import MapPatch, load_geojson
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
    root = shared / "data" / "nuscenes_keyframe"
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
def real_patch(shared: Path, keyframe: Keyframe) -> MapPatch:
    """The real map of 60 m x 30 m around the keyframe."""
    vector_map = load_geojson(shared / "data" / "nuscenes_maps" / "scene-0061.geojson")
    grid = BEVGrid((-30, -15, -5, 30, 15, 3), 0.3)
    return vector_map.crop(planar_pose(keyframe.world_from_ego), grid, classes=("divider", "ped_crossing", "boundary"))
