"""One drive as an Argoverse 2 sensor log."""

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.feather
from numpy.typing import NDArray
from pyquaternion import Quaternion

from mapstack.geometry.se3 import invert, make_transform

from .argoverse2_map import CITY_Z_M, write_log_map
from .lidar import Sweep
from .rig import Camera, argoverse2_lidar, argoverse2_rig
from .stage import Stage, set_stage
from .tokens import log_id
from .world import ScenePlan, World

__all__ = ["write_log"]

SWEEP_S = 0.1
START_NS = 315_970_000_000_000_000
LOG_NS = 100_000_000_000
LEAD_S = 0.5
EGO_HEIGHT_M = 0.33  # Argoverse 2's ego frame has its origin in the rear axle, above the road
ANNOTATED_M = 60.0
JPEG_QUALITY = 92
GROUND_FROM_EGO = make_transform(np.eye(3), np.array([0.0, 0.0, EGO_HEIGHT_M]))


@dataclass(frozen=True)
class _Log:
    folder: Path
    name: str
    stage: Stage
    number: int

    def stamp_ns(self, time_s: float) -> int:
        """The log's clock."""
        return START_NS + self.number * LOG_NS + round(time_s * 1e9)

    def city_from_ego(self, time_s: float) -> NDArray:
        """(4, 4); the city is the world, lifted by ``CITY_Z_M``."""
        pose = self.stage.ego.world_from_ego(time_s) @ GROUND_FROM_EGO
        pose[2, 3] += CITY_Z_M
        return pose


def write_log(root: Path, world: World, plan: ScenePlan) -> int:
    """Write ``root/SPLIT/LOG`` and return the number of its sweeps."""
    size, name = world.size, log_id("town", world.seed, plan.name)
    duration_s = LEAD_S + size.log_sweeps * SWEEP_S
    district = world.districts[plan.district]
    stage = set_stage(district, plan.lane, duration_s, (world.seed, 6, plan.number))
    log = _Log(root / plan.split / name, name, stage, plan.number)
    cameras = argoverse2_rig(size.image_width)
    for folder in ("calibration", "sensors/lidar", *(f"sensors/cameras/{camera.name}" for camera in cameras)):
        (log.folder / folder).mkdir(parents=True, exist_ok=True)
    times, boxes = [], []
    for k in range(size.log_sweeps):
        time_s = LEAD_S + k * SWEEP_S
        sweep = _write_sweep(log, size.azimuths, time_s, k)
        boxes += _boxes(log, time_s, sweep)
        times.append(time_s)
        for c, camera in enumerate(cameras):
            times.append(time_s + camera.delay_s)
            _write_picture(log, camera, times[-1], k * 10 + c)
    _write_poses(log, times)
    _write_calibration(log.folder, cameras)
    _write_table(log.folder / "annotations.feather", boxes, BOX_COLUMNS)
    track = stage.ego.planar(np.linspace(0.0, duration_s, 20))[:, :2]
    write_log_map(log.folder / "map", name, district.map, plan.district, track)
    return size.log_sweeps


BOX_COLUMNS = {
    "timestamp_ns": pa.int64(),
    "track_uuid": pa.string(),
    "category": pa.string(),
    **dict.fromkeys(("length_m", "width_m", "height_m", "qw", "qx", "qy", "qz", "tx_m", "ty_m", "tz_m"), pa.float64()),
    "num_interior_pts": pa.int64(),
}
POSE = ("qw", "qx", "qy", "qz", "tx_m", "ty_m", "tz_m")


def _write_table(path: Path, rows: list[tuple], columns: dict[str, pa.DataType]) -> None:
    values = zip(*rows, strict=True) if rows else [[] for _ in columns]
    arrays = [pa.array(list(column), kind) for column, kind in zip(values, columns.values(), strict=True)]
    pyarrow.feather.write_feather(pa.table(arrays, names=list(columns)), str(path), compression="uncompressed")


def _pose_row(pose: NDArray) -> tuple[float, ...]:
    rotation = Quaternion(matrix=pose[:3, :3], rtol=1e-6, atol=1e-6).elements
    return (*rotation.tolist(), *pose[:3, 3].tolist())


def _write_sweep(log: _Log, azimuths: int, time_s: float, stream: int) -> Sweep:
    """Points in the ego frame of the sweep's time, as half floats."""
    model = argoverse2_lidar(azimuths)
    lifted = replace(model, ego_from_lidar=GROUND_FROM_EGO @ model.ego_from_lidar)
    sweep = log.stage.scan(lifted, time_s, stream)
    points = (sweep.points + model.ego_from_lidar[:3, 3]).astype(np.float16)
    columns = {
        "x": points[:, 0],
        "y": points[:, 1],
        "z": points[:, 2],
        "intensity": sweep.intensity.astype(np.uint8),
        "laser_number": sweep.ring.astype(np.uint8),
        "offset_ns": (sweep.azimuth * (SWEEP_S * 1e9 / azimuths)).astype(np.int32),
    }
    table = pa.table({name: pa.array(column) for name, column in columns.items()})
    path = log.folder / "sensors" / "lidar" / f"{log.stamp_ns(time_s)}.feather"
    pyarrow.feather.write_feather(table, str(path), compression="uncompressed")
    return sweep


def _write_picture(log: _Log, camera: Camera, time_s: float, stream: int) -> None:
    lifted = replace(camera, ego_from_camera=GROUND_FROM_EGO @ camera.ego_from_camera)
    picture = log.stage.photograph(lifted, time_s, stream)
    path = log.folder / "sensors" / "cameras" / camera.name / f"{log.stamp_ns(time_s)}.jpg"
    cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def _write_poses(log: _Log, times: list[float]) -> None:
    rows = {log.stamp_ns(time_s): _pose_row(log.city_from_ego(time_s)) for time_s in times}
    columns = {"timestamp_ns": pa.int64(), **dict.fromkeys(POSE, pa.float64())}
    _write_table(log.folder / "city_SE3_egovehicle.feather", [(t, *rows[t]) for t in sorted(rows)], columns)


def _write_calibration(folder: Path, cameras: list[Camera]) -> None:
    poses = [(camera.name, *_pose_row(camera.ego_from_camera)) for camera in cameras]
    upper = argoverse2_lidar(4).ego_from_lidar
    # The real car carries a second laser upside down, whose pose the API asks for; it has no returns here.
    lower = make_transform(np.diag([1.0, -1.0, -1.0]), upper[:3, 3] - np.array([0.0, 0.0, 0.11]))
    poses += [("up_lidar", *_pose_row(upper)), ("down_lidar", *_pose_row(lower))]
    columns = {"sensor_name": pa.string(), **dict.fromkeys(POSE, pa.float64())}
    _write_table(folder / "calibration" / "egovehicle_SE3_sensor.feather", poses, columns)
    rows = []
    for camera in cameras:
        k = camera.intrinsics
        focal_and_center = [float(v) for v in (k[0, 0], k[1, 1], k[0, 2], k[1, 2])]
        rows.append((camera.name, *focal_and_center, 0.0, 0.0, 0.0, camera.size[1], camera.size[0]))
    columns = {
        "sensor_name": pa.string(),
        **dict.fromkeys(("fx_px", "fy_px", "cx_px", "cy_px", "k1", "k2", "k3"), pa.float64()),
        **dict.fromkeys(("height_px", "width_px"), pa.uint16()),
    }
    _write_table(folder / "calibration" / "intrinsics.feather", rows, columns)


def _boxes(log: _Log, time_s: float, sweep: Sweep) -> list[tuple]:
    """Vehicles that returned points, in the ego frame."""
    vehicles = log.stage.vehicles
    points = np.bincount(sweep.owner[sweep.owner >= 0], minlength=len(vehicles.size))
    poses, ego = vehicles.poses(time_s), log.stage.ego.world_from_ego(time_s)
    ego_from_world = invert(ego @ GROUND_FROM_EGO)
    near = np.linalg.norm(poses[:, :2] - ego[:2, 3], axis=1) < ANNOTATED_M
    rows = []
    for i in np.flatnonzero((points > 0) & near):
        x, y, yaw = poses[i]
        length, width, height = vehicles.size[i].tolist()
        turn = Quaternion(axis=[0, 0, 1], radians=float(yaw)).rotation_matrix
        pose = ego_from_world @ make_transform(turn, np.array([x, y, height / 2.0]))
        category = "REGULAR_VEHICLE" if height < 2.2 else "BOX_TRUCK"
        track = log_id(log.name, "vehicle", int(i))
        stamp = log.stamp_ns(time_s)
        rows.append((stamp, track, category, length, width, height, *_pose_row(pose), int(points[i])))
    return rows
