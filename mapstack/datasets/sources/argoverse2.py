"""Argoverse 2 sensor logs through the av2 API, and anything written in its format."""

from collections.abc import Collection
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mapstack.datasets.index import link_frames
from mapstack.errors import DataError
from mapstack.geometry.se3 import invert

from .broken import BrokenFrame, keep_sound

__all__ = ["CAMERAS", "find_logs", "read_frames"]

CAMERAS = (
    "ring_front_center",
    "ring_front_right",
    "ring_side_right",
    "ring_rear_right",
    "ring_rear_left",
    "ring_side_left",
    "ring_front_left",
)
POSES = "city_SE3_egovehicle.feather"
MAX_CAMERA_LAG_NS = 50_000_000  # the ring cameras run at 20 Hz: farther off, an image of the frame was lost
INTENSITY_MAX = 255.0
POINT_COLUMNS = 4  # x, y, z, intensity of the feather files


def find_logs(root: str | Path) -> dict[str, Path]:
    """Folders of the logs below ``root`` by log id, whatever official part (train, val, test) they lie in."""
    root = Path(root)
    logs = {pose.parent.name: pose.parent for pose in sorted(root.glob(f"*/*/{POSES}"))}
    if not logs:
        raise DataError(f"no Argoverse 2 log at {root}/PART/LOG/{POSES}; point --root at the folder 'sensor'")
    return logs


def read_frames(
    root: str | Path,
    *,
    logs: Collection[str] | None = None,
    interval: int = 1,
    max_sweeps: int = 10,
    skip_broken: bool = False,
    num_workers: int = 0,
    show_progress: bool = False,
) -> list[dict]:
    """Read frames at LiDAR timestamps (10 Hz).

    A log without images or without calibration is indexed with its LiDAR alone. Where it has images, a frame without
    one of the seven ring cameras within 50 ms is broken. Images are taken as the pinhole images that av2's own
    projection takes them for; the sweeps are in the ego frame of their own time, which the pose file has exactly.

    Args:
        root: the folder ``sensor``, which holds train, val, test.
        logs: log ids to read; all when None.
        interval: keep every so-many-th sweep as a frame (5 is StreamMapNet's 2 Hz, 4 MapTRv2's 2.5 Hz).
        max_sweeps: sweeps before the frame's own to list.
        skip_broken: leave broken frames out instead of raising.
        num_workers: processes that read logs side by side; 0 reads them here.
        show_progress: draw a progress bar.

    Returns:
        Frames as :mod:`mapstack.datasets.index` stores them, paths relative to ``root``.
    """
    if interval < 1:
        raise DataError(f"interval counts sweeps and must be at least 1, got {interval}")
    root = Path(root)
    found = find_logs(root)
    unknown = sorted(set(logs or ()) - set(found))
    if unknown:
        raise DataError(f"{len(unknown)} of the logs asked for are not under {root}, first {unknown[0]}")
    chosen = [folder for name, folder in found.items() if logs is None or name in logs]
    read = partial(_read_log, root=root, interval=interval, max_sweeps=max_sweeps)
    show = partial(tqdm, total=len(chosen), desc=root.name, unit="log", disable=not show_progress)
    if num_workers:
        with ProcessPoolExecutor(num_workers) as pool:
            results = list(show(pool.map(read, chosen)))
    else:
        results = list(show(map(read, chosen)))
    frames = [frame for found_frames, _ in results for frame in found_frames]
    broken = [item for _, found_broken in results for item in found_broken]
    return link_frames(keep_sound(frames, root, broken, skip_broken))


def _read_log(folder: Path, root: Path, interval: int, max_sweeps: int) -> tuple[list[dict], list[BrokenFrame]]:
    from av2.utils.io import read_city_SE3_ego  # late: it pulls in pandas and more

    poses = {time: pose.transform_matrix for time, pose in read_city_SE3_ego(folder).items()}
    times = np.array(sorted(int(path.stem) for path in (folder / "sensors" / "lidar").glob("*.feather")), np.int64)
    cameras = _read_cameras(folder)
    archives = sorted((folder / "map").glob("log_map_archive_*.json"))
    base = {
        "scene": folder.name,
        "location": archives[0].stem.split("____")[-1].split("_")[0] if archives else None,
        "split": None,
        "map_kind": "argoverse2" if archives else None,
        "map_root": str(folder.relative_to(root)) if archives else None,
        "map_name": None,
    }
    frames, broken = [], []
    for place in range(0, len(times), interval):
        token = f"{folder.name}_{times[place]}"
        try:
            frame = _read_frame(folder.relative_to(root), times[: place + 1], poses, cameras, max_sweeps)
        except DataError as error:
            broken.append(BrokenFrame(token, str(error)))
        else:
            frames.append({"token": token, **base, **frame})
    return frames, broken


def _read_cameras(folder: Path) -> list[dict]:
    """Calibration and image times of the ring cameras; none where the log has no calibration or no images."""
    from av2.geometry.camera.pinhole_camera import PinholeCamera

    images = folder / "sensors" / "cameras"
    if not images.is_dir() or not (folder / "calibration" / "intrinsics.feather").is_file():
        return []
    cameras = []
    for name in CAMERAS:
        model = PinholeCamera.from_feather(folder, name)
        times = sorted(int(path.stem) for path in (images / name).glob("*.jpg"))
        cameras.append(
            {
                "name": name,
                "width": model.width_px,
                "height": model.height_px,
                "intrinsics": model.intrinsics.K,
                "own_ego_from_camera": model.ego_SE3_cam.transform_matrix,
                "times": np.array(times, np.int64),
            }
        )
    return cameras


def _pose_at(poses: dict[int, NDArray], time: int) -> NDArray:
    if time not in poses:
        raise DataError(f"{POSES} has no pose at {time}")
    return poses[time]


def _read_frame(folder: Path, times: NDArray, poses: dict[int, NDArray], cameras: list[dict], max_sweeps: int) -> dict:
    """One frame at the last of ``times``, the sweeps up to it."""
    time = int(times[-1])
    world_from_ego = _pose_at(poses, time)
    ego_from_world = invert(world_from_ego)
    sweeps = [
        {
            "path": str(folder / "sensors" / "lidar" / f"{earlier}.feather"),
            "time_lag_s": (time - earlier) * 1e-9,
            "ego_from_sweep": ego_from_world @ _pose_at(poses, earlier),
        }
        for earlier in times[-2::-1][:max_sweeps].tolist()
    ]
    return {
        "timestamp_ns": time,
        "world_from_ego": world_from_ego,
        "cameras": [_read_image(folder, camera, time, poses, ego_from_world) for camera in cameras],
        "lidar": {
            "path": str(folder / "sensors" / "lidar" / f"{time}.feather"),
            "num_columns": POINT_COLUMNS,
            "intensity_max": INTENSITY_MAX,
            "ego_from_lidar": np.eye(4),
            "sweeps": sweeps,
        },
    }


def _read_image(folder: Path, camera: dict, time: int, poses: dict[int, NDArray], ego_from_world: NDArray) -> dict:
    lags = np.abs(camera["times"] - time)
    if not len(lags) or lags.min() > MAX_CAMERA_LAG_NS:
        raise DataError(f"no image of {camera['name']} within {MAX_CAMERA_LAG_NS // 1_000_000} ms")
    image_time = int(camera["times"][lags.argmin()])
    return {
        **{key: camera[key] for key in ("name", "width", "height", "intrinsics")},
        "path": str(folder / "sensors" / "cameras" / camera["name"] / f"{image_time}.jpg"),
        "timestamp_ns": image_time,
        "ego_from_camera": ego_from_world @ _pose_at(poses, image_time) @ camera["own_ego_from_camera"],
    }
