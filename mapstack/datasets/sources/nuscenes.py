"""nuScenes v1.0 keyframes through nuscenes-devkit, and anything written in its format."""

import json
import os
from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyquaternion import Quaternion
from tqdm import tqdm

from mapstack.datasets.index import link_frames
from mapstack.errors import DataError
from mapstack.geometry.se3 import invert, make_transform

from .broken import BrokenFrame, keep_sound

__all__ = ["CAMERAS", "read_frames", "scene_names"]

CAMERAS = ("CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_BACK_RIGHT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_FRONT_LEFT")
LIDAR = "LIDAR_TOP"
POINT_COLUMNS = 5  # x, y, z, intensity, ring
INTENSITY_MAX = 255.0
US_TO_NS = 1000


def read_frames(
    root: str | Path,
    version: str = "v1.0-trainval",
    *,
    scenes: Collection[str] | None = None,
    max_sweeps: int = 10,
    geojson_maps: str | Path | None = None,
    skip_broken: bool = False,
    show_progress: bool = False,
) -> list[dict]:
    """Read the keyframes of a nuScenes root.

    The reference of a frame is its LIDAR_TOP keyframe: time, and ego pose as given. ``ego_from_camera`` and
    ``ego_from_sweep`` include the ego motion between the sensor's own time and that reference.

    Args:
        root: the folder that holds ``version``, ``samples`` and ``maps``.
        version: name of the tables' folder.
        scenes: scene names to read; all when None.
        max_sweeps: LiDAR sweeps before the keyframe to list, fewer at the start of a scene.
        geojson_maps: folder with ``SCENE.geojson``, used as the maps instead of the map expansion.
        skip_broken: leave out frames whose files are missing, instead of raising.
        show_progress: draw a progress bar.

    Returns:
        Frames as :mod:`mapstack.datasets.index` stores them, sorted by scene and time, paths relative to ``root``.
        A scene has a map where its GeoJSON, or the location's file in ``maps/expansion``, is there.
    """
    root = Path(root)
    tables = _open(root, version)
    chosen = [scene for scene in tables.scene if scenes is None or scene["name"] in scenes]
    if not chosen:
        raise DataError(f"none of the scenes asked for is in {root / version}, which holds {len(tables.scene)}")
    frames, broken = [], []
    for scene in tqdm(chosen, desc=f"{root.name} {version}", unit="scene", disable=not show_progress):
        location = tables.get("log", scene["log_token"])["location"]
        where = {"scene": scene["name"], "location": location, **_map(root, location, scene["name"], geojson_maps)}
        sample_token = scene["first_sample_token"]
        while sample_token:
            sample = tables.get("sample", sample_token)
            missing = [channel for channel in (*CAMERAS, LIDAR) if channel not in sample["data"]]
            if missing:
                broken.append(BrokenFrame(sample["token"], f"no sample_data of {', '.join(missing)}"))
            else:
                frames.append({**where, **_read_frame(tables, sample, max_sweeps)})
            sample_token = sample["next"]
    return link_frames(keep_sound(frames, root, broken, skip_broken))


def scene_names(root: str | Path, version: str) -> list[str]:
    """Names of the scenes that the tables list; reads one small table, where the devkit reads them all."""
    _check_tables(Path(root), version)
    return [scene["name"] for scene in json.loads((Path(root) / version / "scene.json").read_text())]


def _open(root: Path, version: str) -> "NuScenes":  # noqa: F821 (imported late, it loads matplotlib)
    from nuscenes.nuscenes import NuScenes

    _check_tables(root, version)
    return NuScenes(version=version, dataroot=str(root), verbose=False)


def _check_tables(root: Path, version: str) -> None:
    if not (root / version / "scene.json").is_file():
        raise DataError(
            f"no nuScenes tables at {root / version}; point --root at the folder that holds v1.0-trainval, samples "
            f"and maps, and name the tables with --version"
        )


def _pose(record: dict) -> NDArray:
    return make_transform(Quaternion(record["rotation"]).rotation_matrix, np.asarray(record["translation"], float))


def _map(root: Path, location: str, scene: str, geojson_maps: str | Path | None) -> dict:
    if geojson_maps is not None:
        file = Path(geojson_maps).resolve() / f"{scene}.geojson"
        found = ("geojson", os.path.relpath(file, root.resolve()), None) if file.is_file() else (None, None, None)
    else:
        has_map = (root / "maps" / "expansion" / f"{location}.json").is_file()
        found = ("nuscenes", ".", location) if has_map else (None, None, None)
    return dict(zip(("map_kind", "map_root", "map_name"), found, strict=True))


def _read_frame(tables: "NuScenes", sample: dict, max_sweeps: int) -> dict:  # noqa: F821
    lidar = tables.get("sample_data", sample["data"][LIDAR])
    world_from_ego = _pose(tables.get("ego_pose", lidar["ego_pose_token"]))
    ego_from_world = invert(world_from_ego)
    return {
        "token": sample["token"],
        "timestamp_ns": lidar["timestamp"] * US_TO_NS,
        "split": None,
        "world_from_ego": world_from_ego,
        "cameras": [
            _read_camera(tables, tables.get("sample_data", sample["data"][name]), name, ego_from_world)
            for name in CAMERAS
        ],
        "lidar": {
            "path": lidar["filename"],
            "num_columns": POINT_COLUMNS,
            "intensity_max": INTENSITY_MAX,
            "ego_from_lidar": _pose(tables.get("calibrated_sensor", lidar["calibrated_sensor_token"])),
            "sweeps": _read_sweeps(tables, lidar, ego_from_world, max_sweeps),
        },
    }


def _ego_from_sensor(tables: "NuScenes", data: dict, ego_from_world: NDArray) -> NDArray:  # noqa: F821
    world_from_own_ego = _pose(tables.get("ego_pose", data["ego_pose_token"]))
    own_ego_from_sensor = _pose(tables.get("calibrated_sensor", data["calibrated_sensor_token"]))
    return ego_from_world @ world_from_own_ego @ own_ego_from_sensor


def _read_camera(tables: "NuScenes", data: dict, name: str, ego_from_world: NDArray) -> dict:  # noqa: F821
    intrinsics = tables.get("calibrated_sensor", data["calibrated_sensor_token"])["camera_intrinsic"]
    return {
        "name": name,
        "path": data["filename"],
        "width": data["width"],
        "height": data["height"],
        "timestamp_ns": data["timestamp"] * US_TO_NS,
        "intrinsics": np.asarray(intrinsics, float),
        "ego_from_camera": _ego_from_sensor(tables, data, ego_from_world),
    }


def _read_sweeps(tables: "NuScenes", lidar: dict, ego_from_world: NDArray, max_sweeps: int) -> list[dict]:  # noqa: F821
    sweeps, data = [], lidar
    while len(sweeps) < max_sweeps and data["prev"]:
        data = tables.get("sample_data", data["prev"])
        sweeps.append(
            {
                "path": data["filename"],
                "time_lag_s": (lidar["timestamp"] - data["timestamp"]) * 1e-6,
                "ego_from_sweep": _ego_from_sensor(tables, data, ego_from_world),
            }
        )
    return sweeps
