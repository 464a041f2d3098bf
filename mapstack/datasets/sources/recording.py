"""A recording of one's own, in plain files::

    RECORDING/
      calibration.json        cameras and LiDAR, see below
      poses.csv               timestamp_ns,x,y,z,qw,qx,qy,qz: world_from_ego, any rate; one line: the car stands
      cameras/NAME/TIME.jpg   TIME in ns; rectified images
      lidar/TIME.bin          float32 rows x, y, z, intensity, ...; or .npy (M, >= 4); optional
      map.geojson             the HD map in world metres; optional

``calibration.json``::

    {"cameras": {"front": {"width": 1600, "height": 900, "intrinsics": [[...], [...], [...]],
                           "ego_from_camera": [[4 x 4]]}},
     "lidar": {"ego_from_lidar": [[4 x 4]], "num_columns": 4, "intensity_max": 255.0},
     "location": "my-town"}

Frames stand at the LiDAR's times, or at the first camera's where there is no LiDAR.
"""

import csv
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from mapstack.datasets.index import link_frames
from mapstack.errors import DataError
from mapstack.geometry.se3 import invert, make_transform

from .broken import BrokenFrame, keep_sound

__all__ = ["find_recordings", "read_frames"]

POSE_COLUMNS = ("timestamp_ns", "x", "y", "z", "qw", "qx", "qy", "qz")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
LIDAR_SUFFIXES = (".bin", ".npy", ".feather")


def find_recordings(root: str | Path) -> list[Path]:
    """``root`` itself if it is a recording, else the recordings in it."""
    root = Path(root)
    if (root / "calibration.json").is_file():
        return [root]
    found = sorted(path.parent for path in root.glob("*/calibration.json"))
    if not found:
        raise DataError(f"no recording at {root}: it, or folders in it, must hold calibration.json; see docs/DATA.md")
    return found


def read_frames(
    root: str | Path,
    *,
    interval: int = 1,
    max_sweeps: int = 10,
    max_camera_lag_s: float = 0.06,
    skip_broken: bool = False,
) -> list[dict]:
    """Read the recordings at ``root``.

    Args:
        root: one recording or a folder of them; each is a scene named by its folder.
        interval: keep every so-many-th LiDAR sweep (or image) as a frame.
        max_sweeps: LiDAR sweeps before the frame's own to list.
        max_camera_lag_s: a camera without an image this close to the frame's time makes the frame broken.
        skip_broken: leave broken frames out instead of raising.

    Returns:
        Frames as :mod:`mapstack.datasets.index` stores them, paths relative to ``root``.
    """
    root = Path(root)
    frames, broken = [], []
    for folder in find_recordings(root):
        reader = _Recording(folder, root, max_sweeps, max_camera_lag_s)
        for place in range(0, len(reader.frame_times), interval):
            try:
                frames.append(reader.read(place))
            except DataError as error:
                broken.append(BrokenFrame(reader.token(place), str(error)))
    return link_frames(keep_sound(frames, root, broken, skip_broken))


class _Recording:
    """One recording folder: its calibration, trajectory and lists of files."""

    def __init__(self, folder: Path, root: Path, max_sweeps: int, max_camera_lag_s: float) -> None:
        self.folder, self.root = folder, root
        self.max_sweeps, self.max_camera_lag_s = max_sweeps, max_camera_lag_s
        self.calibration = _read_calibration(folder / "calibration.json")
        self.trajectory = _Trajectory(folder / "poses.csv")
        self.lidar_files = _list_files(folder / "lidar", LIDAR_SUFFIXES)
        self.image_files = {
            name: _list_files(folder / "cameras" / name, IMAGE_SUFFIXES) for name in self.calibration["cameras"]
        }
        if self.lidar_files and self.calibration["lidar"] is None:
            raise DataError(f"{folder} has LiDAR files and calibration.json has no 'lidar'; see docs/DATA.md")
        first_camera = next(iter(self.image_files.values()), {})
        self.frame_times = sorted(self.lidar_files or first_camera)
        if not self.frame_times:
            raise DataError(f"{folder} has neither lidar/TIME.bin nor cameras/NAME/TIME.jpg for its calibration")

    def token(self, place: int) -> str:
        """Scene and time."""
        return f"{self.folder.name}_{self.frame_times[place]}"

    def read(self, place: int) -> dict:
        """One frame."""
        time = self.frame_times[place]
        world_from_ego = self.trajectory.at(time)
        ego_from_world = invert(world_from_ego)
        map_file = self.folder / "map.geojson"
        return {
            "token": self.token(place),
            "scene": self.folder.name,
            "timestamp_ns": time,
            "location": self.calibration["location"] or self.folder.name,
            "split": None,
            "world_from_ego": world_from_ego,
            "cameras": [self._camera(name, time, ego_from_world) for name in self.image_files],
            "lidar": self._lidar(place, ego_from_world) if self.lidar_files else None,
            "map_kind": "geojson" if map_file.is_file() else None,
            "map_root": self._relative(map_file) if map_file.is_file() else None,
            "map_name": None,
        }

    def _relative(self, path: Path) -> str:
        return str(path.relative_to(self.root))

    def _camera(self, name: str, time: int, ego_from_world: NDArray) -> dict:
        files = self.image_files[name]
        nearest = min(files, key=lambda image_time: abs(image_time - time), default=None)
        if nearest is None or abs(nearest - time) > self.max_camera_lag_s * 1e9:
            raise DataError(f"no image of camera {name} within {self.max_camera_lag_s} s")
        camera = self.calibration["cameras"][name]
        return {
            "name": name,
            "path": self._relative(files[nearest]),
            "width": camera["width"],
            "height": camera["height"],
            "timestamp_ns": nearest,
            "intrinsics": camera["intrinsics"],
            "ego_from_camera": ego_from_world @ self.trajectory.at(nearest) @ camera["ego_from_camera"],
        }

    def _lidar(self, place: int, ego_from_world: NDArray) -> dict:
        lidar, time = self.calibration["lidar"], self.frame_times[place]
        earlier = self.frame_times[max(0, place - self.max_sweeps) : place][::-1]
        return {
            **lidar,
            "path": self._relative(self.lidar_files[time]),
            "sweeps": [
                {
                    "path": self._relative(self.lidar_files[sweep]),
                    "time_lag_s": (time - sweep) * 1e-9,
                    "ego_from_sweep": ego_from_world @ self.trajectory.at(sweep) @ lidar["ego_from_lidar"],
                }
                for sweep in earlier
            ],
        }


class _Trajectory:
    """Ego poses at any time between the first and the last of ``poses.csv``: straight and by slerp in between."""

    MAX_OUTSIDE_NS = 50_000_000

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise DataError(f"no poses at {path}; it has columns {','.join(POSE_COLUMNS)}, one line if the car stands")
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        if not rows or not set(POSE_COLUMNS) <= set(rows[0]):
            raise DataError(f"{path} must have the header {','.join(POSE_COLUMNS)} and at least one pose")
        self.path = path
        try:
            times = np.array([int(row["timestamp_ns"]) for row in rows], np.int64)
            values = np.array([[float(row[name]) for name in POSE_COLUMNS[1:]] for row in rows])
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}: {error}; every line needs {','.join(POSE_COLUMNS)} as numbers") from error
        if (np.diff(times) <= 0).any() or not np.isfinite(values).all():
            raise DataError(f"{path}: times must rise from line to line and all numbers be finite")
        self.times, self.positions = times, values[:, :3]
        self.rotations = Rotation.from_quat(values[:, [4, 5, 6, 3]])
        seconds = (times - times[0]) * 1e-9  # relative: absolute nanoseconds lose their last digits in a float
        self.seconds, self.slerp = seconds, Slerp(seconds, self.rotations) if len(rows) > 1 else None

    def at(self, time: int) -> NDArray:
        """(4, 4) world_from_ego at a time in ns; a single pose holds for all times."""
        if self.slerp is None:
            return make_transform(self.rotations.as_matrix()[0], self.positions[0])
        if not self.times[0] - self.MAX_OUTSIDE_NS <= time <= self.times[-1] + self.MAX_OUTSIDE_NS:
            raise DataError(f"{self.path} ends before or begins after {time}")
        second = float(np.clip((time - int(self.times[0])) * 1e-9, 0.0, self.seconds[-1]))
        position = [np.interp(second, self.seconds, self.positions[:, axis]) for axis in range(3)]
        return make_transform(self.slerp(second).as_matrix(), np.array(position))


def _list_files(folder: Path, suffixes: tuple[str, ...]) -> dict[int, Path]:
    files = [path for path in sorted(folder.glob("*")) if path.suffix in suffixes]
    wrong = [path for path in files if not path.stem.isdigit()]
    if wrong:
        raise DataError(f"{wrong[0]} must be named by its time in nanoseconds")
    return {int(path.stem): path for path in files}


def _read_calibration(path: Path) -> dict:
    try:
        content = json.loads(path.read_text())
        cameras = {
            name: {
                "width": int(camera["width"]),
                "height": int(camera["height"]),
                "intrinsics": np.array(camera["intrinsics"], float).reshape(3, 3),
                "ego_from_camera": np.array(camera["ego_from_camera"], float).reshape(4, 4),
            }
            for name, camera in content.get("cameras", {}).items()
        }
        lidar = content.get("lidar")
        if lidar is not None:
            lidar = {
                "ego_from_lidar": np.array(lidar["ego_from_lidar"], float).reshape(4, 4),
                "num_columns": int(lidar.get("num_columns", 4)),
                "intensity_max": float(lidar.get("intensity_max", 255.0)),
            }
    except KeyError as error:
        raise DataError(f"{path} lacks {error}; see docs/DATA.md for its keys") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); see docs/DATA.md for its form") from error
    return {"cameras": cameras, "lidar": lidar, "location": content.get("location")}
