"""Frames of a recorded drive as the runtime takes them, from the rows of an index: for tests, benchmarks, the server.

What a driver hands over on the vehicle is read from files here; OpenCV decodes the images.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mapstack.errors import DataError

from .sensors import CameraImage, LidarSweep, SensorFrame

__all__ = ["frame_from_row"]

S_TO_NS = 1e9


def frame_from_row(row: Mapping, num_sweeps: int = 10) -> SensorFrame:
    """A frame with its files read.

    Args:
        row: ``token``, ``scene``, ``timestamp_ns``, ``world_from_ego``, ``cameras`` and ``lidar`` with absolute paths,
            see docs/DATA.md.
        num_sweeps: at most so many LiDAR sweeps are read, the frame's own included.

    Raises:
        DataError: a file is missing or cannot be read.
    """
    world_from_ego = np.asarray(row["world_from_ego"], np.float64)
    cameras = {
        camera["name"]: CameraImage(_read_image(camera["path"]), camera["intrinsics"], camera["ego_from_camera"])
        for camera in row["cameras"]
    }
    lidar, sweeps = row["lidar"], []
    if lidar is not None:
        own = {"path": lidar["path"], "time_lag_s": 0.0, "ego_from_sweep": lidar["ego_from_lidar"]}
        # An index gives the sensor's pose in the frame's own ego frame, motion included: hence the frame's world pose.
        sweeps = [
            LidarSweep(
                points=_read_points(sweep["path"], lidar["num_columns"]),
                ego_from_lidar=np.asarray(sweep["ego_from_sweep"]),
                intensity_max=lidar["intensity_max"],
                timestamp_ns=row["timestamp_ns"] - round(sweep["time_lag_s"] * S_TO_NS),
                world_from_ego=world_from_ego,
            )
            for sweep in [own, *lidar["sweeps"]][:num_sweeps]
        ]
    return SensorFrame(
        timestamp_ns=row["timestamp_ns"],
        world_from_ego=world_from_ego,
        cameras=cameras,
        lidar=sweeps[0] if sweeps else None,
        sweeps=tuple(sweeps[1:]),
        scene=row["scene"],
        token=row["token"],
    )


def _read_image(path: str | Path) -> NDArray:
    import cv2

    image = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise DataError(f"{path} is missing or no readable image; copy the file again")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def _read_points(path: str | Path, num_columns: int) -> NDArray:
    try:
        if str(path).endswith(".npy"):
            return np.load(path, allow_pickle=False).astype(np.float32, copy=False)
        return np.fromfile(path, np.float32).reshape(-1, num_columns)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as rows of {num_columns} float32 ({error}); copy it again") from error
