"""A tiny recording of one's own, as docs/DATA.md describes it, and frames made by hand."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mapstack.geometry.se3 import invert, make_transform, rotation_z, transform_points

START_NS = 1_700_000_000_000_000_000
STEP_NS = 100_000_000
NUM_FRAMES = 4
IMAGE_SIZE = (96, 160)
INTRINSICS = np.array([[100.0, 0.0, 79.5], [0.0, 100.0, 47.5], [0.0, 0.0, 1.0]])
CAMERA_LAGS_NS = {"front": 20_000_000, "back": -15_000_000}
# OpenCV axes (right, down, forward) from ego axes (forward, left, up)
EGO_FROM_FRONT = make_transform(np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]), np.array([1.5, 0.0, 1.5]))
EGO_FROM_BACK = make_transform(np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]]), np.array([-0.5, 0.0, 1.5]))
EGO_FROM_LIDAR = make_transform(rotation_z(-np.pi / 2), np.array([0.9, 0.0, 1.8]))


def pose_at(seconds: float) -> np.ndarray:
    """world_from_ego on an arc driven at 10 m/s, 0.5 rad/s."""
    yaw = 0.4 + 0.5 * seconds
    radius = 10.0 / 0.5
    position = np.array([500 + radius * np.sin(yaw), 300 - radius * np.cos(yaw), 2.0])
    return make_transform(rotation_z(yaw), position)


def world_points() -> np.ndarray:
    """(M, 3) points that stand still, on and above the ground around the arc."""
    generator = np.random.default_rng(7)
    local = generator.uniform((-25, -12, 0), (25, 12, 3), (800, 3))
    return transform_points(pose_at(0.0), local)


def write_recording(root: Path, name: str = "drive") -> Path:
    folder = root / name
    (folder / "lidar").mkdir(parents=True)
    cameras = {"front": EGO_FROM_FRONT, "back": EGO_FROM_BACK}
    calibration = {
        "cameras": {
            camera: {
                "width": IMAGE_SIZE[1],
                "height": IMAGE_SIZE[0],
                "intrinsics": INTRINSICS.tolist(),
                "ego_from_camera": transform.tolist(),
            }
            for camera, transform in cameras.items()
        },
        "lidar": {"ego_from_lidar": EGO_FROM_LIDAR.tolist(), "num_columns": 4, "intensity_max": 100.0},
        "location": "test-town",
    }
    (folder / "calibration.json").write_text(json.dumps(calibration))
    with (folder / "poses.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow("timestamp_ns,x,y,z,qw,qx,qy,qz".split(","))
        for tick in range(-10, 60):  # 100 Hz
            pose, yaw = pose_at(tick * 0.01), 0.4 + 0.5 * tick * 0.01
            rotation = [np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]
            writer.writerow([START_NS + tick * 10_000_000, *pose[:3, 3], *rotation])
    generator = np.random.default_rng(0)
    for number in range(NUM_FRAMES):
        time = START_NS + number * STEP_NS
        lidar_from_world = invert(pose_at(number * 0.1) @ EGO_FROM_LIDAR)
        points = transform_points(lidar_from_world, world_points())
        rows = np.hstack([points, np.full((len(points), 1), 50.0)]).astype(np.float32)
        rows.tofile(folder / "lidar" / f"{time}.bin")
        for camera, lag in CAMERA_LAGS_NS.items():
            image = generator.integers(0, 256, (*IMAGE_SIZE, 3), dtype=np.uint8)
            path = folder / "cameras" / camera / f"{time + lag}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), cv2.GaussianBlur(image, (0, 0), 3))
    return folder


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A folder of one recording, without a map; the test may damage it."""
    write_recording(tmp_path / "recordings")
    return tmp_path / "recordings"


@pytest.fixture
def run_tool(monkeypatch: pytest.MonkeyPatch):
    """Run ``tools/NAME.py`` in this process, as its command line would."""
    import runpy
    import sys

    def run(name: str, *arguments: str) -> None:
        path = Path(__file__).parents[2] / "tools" / f"{name}.py"
        monkeypatch.setattr(sys, "argv", [str(path), *arguments])
        runpy.run_path(str(path), run_name="__main__")

    return run


@pytest.fixture
def shared_data(shared: Path) -> Path:
    """The folder of real recordings below ``shared``."""
    return shared / "data" if (shared / "data").is_dir() else shared
