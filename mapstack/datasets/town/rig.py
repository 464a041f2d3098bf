"""Sensor rigs: where each camera and laser sits, when it fires, and what it measures."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapstack.geometry.se3 import make_transform

__all__ = ["Camera", "LidarModel", "argoverse2_rig", "argoverse2_lidar", "nuscenes_lidar", "nuscenes_rig"]

OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])  # vehicle axes from camera axes


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Args:
        name: channel.
        size: (width, height) pixels.
        intrinsics: (3, 3) image_from_camera.
        ego_from_camera: (4, 4).
        delay_s: when it fires, relative to the LiDAR's time stamp.
    """

    name: str
    size: tuple[int, int]
    intrinsics: NDArray
    ego_from_camera: NDArray
    delay_s: float


@dataclass(frozen=True)
class LidarModel:
    """A spinning laser.

    Args:
        ego_from_lidar: (4, 4).
        elevations_rad: (L,) per ring, ring 0 first.
        num_azimuths: firings a turn.
        range_m: farthest return.
        noise_m: standard deviation of a range.
        dropout: share of returns lost at random.
    """

    ego_from_lidar: NDArray
    elevations_rad: NDArray
    num_azimuths: int
    range_m: float
    noise_m: float
    dropout: float


def _camera(
    name: str,
    pose: tuple[float, float, float, float, float],
    focal: float,
    full: tuple[int, int],
    width: int,
    delay_s: float,
) -> Camera:
    """A camera at (x, y, z), heading ``yaw_deg``, looking down ``pitch_deg``, with its full-size focal length."""
    x, y, z, yaw_deg, pitch_deg = pose
    yaw, pitch = np.radians([yaw_deg, pitch_deg])
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    nod = np.array([[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]])
    scale = width / full[0]
    height = 8 * round(full[1] * scale / 8)
    # The optical axis sits a little off the middle, as in real calibrations; rows that do not fit fall away on top.
    center_x = (full[0] * 0.5 + 8.0) * scale - 0.5
    center_y = (full[1] * 0.5 + 38.0) * scale - 0.5 - (full[1] * scale - height)
    intrinsics = np.array([[focal * scale, 0, center_x], [0, focal * scale, center_y], [0, 0, 1]])
    return Camera(name, (width, height), intrinsics, make_transform(turn @ nod @ OPTICAL, np.array([x, y, z])), delay_s)


def nuscenes_rig(width: int) -> list[Camera]:
    """Six cameras placed and timed like nuScenes', for images ``width`` pixels wide."""
    full = (1600, 900)
    return [
        _camera("CAM_FRONT", (1.70, 0.01, 1.51, 0.3, 0.4), 1266.0, full, width, -0.0355),
        _camera("CAM_FRONT_RIGHT", (1.55, -0.49, 1.50, -55.6, 0.6), 1261.0, full, width, -0.0276),
        _camera("CAM_BACK_RIGHT", (1.01, -0.48, 1.56, -110.2, 0.3), 1260.0, full, width, -0.0200),
        _camera("CAM_BACK", (0.03, 0.0, 1.58, 179.6, 0.5), 809.0, full, width, -0.0103),
        _camera("CAM_BACK_LEFT", (1.04, 0.48, 1.59, 108.6, 0.3), 1257.0, full, width, -0.0005),
        _camera("CAM_FRONT_LEFT", (1.52, 0.49, 1.51, 55.2, 0.6), 1273.0, full, width, -0.0431),
    ]


def nuscenes_lidar(num_azimuths: int) -> LidarModel:
    """32 rings from -30.7 to 10.7 degrees, mounted as on the nuScenes cars: x right, y forward."""
    turn = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    pose = make_transform(turn, np.array([0.944, 0.0, 1.840]))
    return LidarModel(pose, np.radians(np.linspace(-30.67, 10.67, 32)), num_azimuths, 75.0, 0.02, 0.04)


def argoverse2_rig(width: int) -> list[Camera]:
    """Seven ring cameras placed like Argoverse 2's; the front centre one stands upright, ``width`` is the others'."""
    full = (2048, 1550)
    upright = round(width * 1550 / 2048 / 8) * 8
    return [
        _camera("ring_front_center", (1.63, 0.0, 1.40, 0.0, 0.0), 1776.0, full[::-1], upright, 0.0),
        _camera("ring_front_left", (1.55, 0.20, 1.39, 45.0, 0.0), 1686.0, full, width, 0.004),
        _camera("ring_front_right", (1.55, -0.20, 1.40, -45.0, 0.0), 1686.0, full, width, -0.004),
        _camera("ring_rear_left", (1.09, 0.13, 1.42, 153.0, 0.0), 1686.0, full, width, 0.007),
        _camera("ring_rear_right", (1.10, -0.13, 1.42, -153.0, 0.0), 1686.0, full, width, -0.007),
        _camera("ring_side_left", (1.31, 0.28, 1.41, 98.0, 0.0), 1686.0, full, width, 0.011),
        _camera("ring_side_right", (1.31, -0.28, 1.40, -98.0, 0.0), 1686.0, full, width, -0.011),
    ]


def argoverse2_lidar(num_azimuths: int) -> LidarModel:
    """The upper laser's 32 rings; sweeps are written in the ego frame, as Argoverse 2 does."""
    pose = make_transform(np.eye(3), np.array([1.35, 0.0, 1.64]))
    return LidarModel(pose, np.radians(np.linspace(-25.0, 15.0, 32)), num_azimuths, 75.0, 0.02, 0.04)
