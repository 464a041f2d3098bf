"""Ego poses of real drives from the small files that come with maps, without an index or sensor data."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyarrow import feather
from scipy.spatial.transform import Rotation

from mapstack.errors import DataError
from mapstack.geometry.se3 import make_transform, rotation_z

__all__ = ["read_argoverse2_trajectory", "read_ego_track"]

TRACK_HZ = 10.0
QUATERNION = ("qx", "qy", "qz", "qw")
TRANSLATION = ("tx_m", "ty_m", "tz_m")


def read_ego_track(path: str | Path) -> tuple[NDArray, NDArray]:
    """``scene-XXXX.ego.json`` beside a nuScenes map extract: ``position`` (x, y) and ``heading`` at 10 Hz.

    Returns:
        (N,) seconds and (N, 4, 4) world_from_ego, flat.
    """
    try:
        track = json.loads(Path(path).read_text())
        pairs = list(zip(track["position"], track["heading"], strict=True))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: no readable ego track ({error!r}); it holds position and heading") from error
    poses = [make_transform(rotation_z(heading), np.array([*position[:2], 0.0])) for position, heading in pairs]
    return np.arange(len(poses)) / TRACK_HZ, np.stack(poses)


def read_argoverse2_trajectory(log_dir: str | Path) -> tuple[NDArray, NDArray]:
    """All poses of an Argoverse 2 log.

    Returns:
        (N,) seconds and (N, 4, 4) city_from_ego.
    """
    path = Path(log_dir) / "city_SE3_egovehicle.feather"
    if not path.is_file():
        raise DataError(f"{path} is missing; every Argoverse 2 log has it")
    table = feather.read_table(path).to_pydict()
    rotations = Rotation.from_quat(np.column_stack([table[name] for name in QUATERNION])).as_matrix()
    places = np.column_stack([table[name] for name in TRANSLATION])
    times_ns = np.array(table["timestamp_ns"])
    order = np.argsort(times_ns)
    poses = np.stack([make_transform(rotations[i], places[i]) for i in order])
    return (times_ns[order] - times_ns[order[0]]) * 1e-9, poses
