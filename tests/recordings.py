"""A small recording in the plain layout, with a map: two lines of paint and a kerb on flat ground."""

import json
from pathlib import Path

import cv2
import numpy as np

from mapstack.geometry.se3 import make_transform, rotation_z

WIDTH, HEIGHT = 320, 192
CAMERA_YAWS_DEG = {"front": 0.0, "back": 180.0}
ORIGIN = (500.0, 800.0)
LINES = {"lane_divider": 0.0, "boundary": -6.0}  # layer and world y - ORIGIN y
STEP_M = 2.0


def camera_pose(yaw: float) -> np.ndarray:
    """(4, 4) ego_from_camera of a camera 1.6 m up that looks along ``yaw`` radians."""
    forward = rotation_z(yaw)[:, 0]
    rotation = np.stack([[forward[1], -forward[0], 0], [0, 0, -1], forward], axis=1)
    return make_transform(rotation, np.array([1.0, 0.0, 1.6]))


def write_recording(folder: Path, num_frames: int = 2, with_cameras: bool = True, with_map: bool = True) -> Path:
    """Write ``num_frames`` frames 0.5 s apart, driven straight along x; points and pictures are noise."""
    rng = np.random.default_rng(0)
    times = [1_000_000_000 + 500_000_000 * i for i in range(num_frames)]
    intrinsics = [[200.0, 0, WIDTH / 2], [0, 200.0, HEIGHT / 2], [0, 0, 1]]
    cameras = {
        name: {
            "width": WIDTH,
            "height": HEIGHT,
            "intrinsics": intrinsics,
            "ego_from_camera": camera_pose(np.deg2rad(yaw)).tolist(),
        }
        for name, yaw in CAMERA_YAWS_DEG.items()
    }
    ego_from_lidar = make_transform(np.eye(3), np.array([0.9, 0.0, 1.8]))
    lidar = {"ego_from_lidar": ego_from_lidar.tolist(), "num_columns": 4, "intensity_max": 255.0}
    (folder / "lidar").mkdir(parents=True)
    calibration = {"cameras": cameras if with_cameras else {}, "lidar": lidar, "location": "test-track"}
    (folder / "calibration.json").write_text(json.dumps(calibration))
    poses = [f"{time},{ORIGIN[0] + STEP_M * i},{ORIGIN[1]},0,1,0,0,0" for i, time in enumerate(times)]
    (folder / "poses.csv").write_text("\n".join(["timestamp_ns,x,y,z,qw,qx,qy,qz", *poses]) + "\n")
    for time in times:
        points = rng.uniform([-30, -15, -1.8, 0], [30, 15, 1, 255], (2000, 4)).astype(np.float32)
        points.tofile(folder / "lidar" / f"{time}.bin")
        for name in calibration["cameras"]:
            (folder / "cameras" / name).mkdir(parents=True, exist_ok=True)
            picture = rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / "cameras" / name / f"{time}.jpg"), picture)
    if with_map:
        (folder / "map.geojson").write_text(json.dumps(map_geojson()))
    return folder


def map_geojson() -> dict:
    """The track's map in our own GeoJSON form."""
    features = []
    for layer, y in LINES.items():
        line = [[ORIGIN[0] - 100, ORIGIN[1] + y], [ORIGIN[0] + 100, ORIGIN[1] + y]]
        geometry = {"type": "LineString", "coordinates": line}
        features.append({"type": "Feature", "properties": {"layer": layer, "token": layer}, "geometry": geometry})
    about = {"version": 1, "name": "test-track", "source": "geojson"}
    return {"type": "FeatureCollection", "mapstack": about, "features": features}
