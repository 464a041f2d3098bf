"""One drive as nuScenes records: its pictures, its sweeps and the rows of the tables that name them."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pyquaternion import Quaternion

from mapstack.geometry.se3 import make_transform

from .lidar import Sweep
from .nuscenes_map import LOCATION
from .rig import Camera, nuscenes_lidar, nuscenes_rig
from .stage import Stage, set_stage
from .tokens import token
from .world import ScenePlan, World, rng_for

__all__ = ["SENSORS", "SceneRows", "write_scene"]

KEYFRAME_S = 0.5
START_US = 1_600_000_000_000_000
SCENE_US = 120_000_000
JPEG_QUALITY = 92
MOUNT_RAD, MOUNT_M = 0.006, 0.01
SHUTTER_S = 0.002
ANNOTATED_M = 60.0
LIDAR = "LIDAR_TOP"
SENSORS = tuple(camera.name for camera in nuscenes_rig(400)) + (LIDAR,)


@dataclass
class SceneRows:
    """Rows of the tables that one scene fills, and how many keyframes it has."""

    keyframes: int
    tables: dict[str, list[dict]] = field(default_factory=dict)

    def add(self, table: str, **row: object) -> None:
        """Append a row."""
        self.tables.setdefault(table, []).append(row)


def write_scene(root: Path, world: World, plan: ScenePlan) -> SceneRows:
    """Drive, photograph and scan one scene; write its files under ``root`` and return its table rows."""
    size, name = world.size, f"town-{world.seed}/{plan.name}"
    seed = (world.seed, 5, plan.number)
    stage = set_stage(world.districts[plan.district], plan.lane, size.keyframes * KEYFRAME_S, seed)
    cameras = [_mounted(camera, rng_for(*seed, 1, k)) for k, camera in enumerate(nuscenes_rig(size.image_width))]
    rows = SceneRows(size.keyframes)
    writer = _SceneWriter(root, world, plan, name, stage, rows)
    writer.add_head(cameras)
    writer.add_samples(cameras)
    return rows


def _mounted(camera: Camera, rng: np.random.Generator) -> Camera:
    """The camera as screwed onto this scene's car: a little off its nominal pose, and calibrated there."""
    axis = rng.normal(0.0, MOUNT_RAD, 3)
    turn = Quaternion(axis=axis, radians=float(np.linalg.norm(axis))).rotation_matrix
    pose = camera.ego_from_camera
    moved = make_transform(turn @ pose[:3, :3], pose[:3, 3] + rng.normal(0.0, MOUNT_M, 3))
    return replace(camera, ego_from_camera=moved)


def _pose_fields(transform: NDArray) -> dict[str, list[float]]:
    rotation = Quaternion(matrix=transform[:3, :3], rtol=1e-6, atol=1e-6)
    return {"translation": transform[:3, 3].tolist(), "rotation": rotation.elements.tolist()}


@dataclass
class _SceneWriter:
    root: Path
    world: World
    plan: ScenePlan
    name: str
    stage: Stage
    rows: SceneRows

    def _time_us(self, time_s: float) -> int:
        return START_US + self.plan.number * SCENE_US + round(time_s * 1e6)

    def add_head(self, cameras: list[Camera]) -> None:
        """The rows of scene, log and calibrated sensors."""
        samples = [token(self.name, "sample", k) for k in range(self.rows.keyframes)]
        log = token(self.name, "log")
        self.rows.add(
            "log", token=log, logfile=self._logfile, vehicle="town", date_captured="2026-01-01", location=LOCATION
        )
        kind = "night" if self.stage.weather.is_night else "day"
        self.rows.add(
            "scene",
            token=token(self.name, "scene"),
            log_token=log,
            nbr_samples=len(samples),
            first_sample_token=samples[0],
            last_sample_token=samples[-1],
            name=self.plan.name,
            description=f"Synthetic town, {kind}, {self.plan.split}",
        )
        for camera in cameras:
            self.rows.add(
                "calibrated_sensor",
                token=token(self.name, "calibration", camera.name),
                sensor_token=token("sensor", camera.name),
                **_pose_fields(camera.ego_from_camera),
                camera_intrinsic=camera.intrinsics.tolist(),
            )
        self.rows.add(
            "calibrated_sensor",
            token=token(self.name, "calibration", LIDAR),
            sensor_token=token("sensor", LIDAR),
            **_pose_fields(nuscenes_lidar(4).ego_from_lidar),
            camera_intrinsic=[],
        )

    @property
    def _logfile(self) -> str:
        return f"town{self.world.seed}-{self.plan.name}"

    def add_samples(self, cameras: list[Camera]) -> None:
        """Keyframes, sweeps and annotations, and the files they name."""
        count, sweeps_between = self.rows.keyframes, self.world.size.sweeps
        model = nuscenes_lidar(self.world.size.azimuths)
        streams: dict[str, list[dict]] = {channel: [] for channel in SENSORS}
        seen: list[NDArray] = []
        for k in range(count):
            sample, time_s = token(self.name, "sample", k), k * KEYFRAME_S
            self.rows.add(
                "sample",
                token=sample,
                timestamp=self._time_us(time_s),
                scene_token=token(self.name, "scene"),
                prev=token(self.name, "sample", k - 1) if k else "",
                next=token(self.name, "sample", k + 1) if k + 1 < count else "",
            )
            for step in range(sweeps_between if k else 0):
                before_s = KEYFRAME_S * (sweeps_between - step) / (sweeps_between + 1)
                sweep = self.stage.scan(model, time_s - before_s, k * 100 + step + 1)
                streams[LIDAR].append(self._write_sweep(sweep, sample, time_s - before_s, is_key_frame=False))
            sweep = self.stage.scan(model, time_s, k * 100)
            streams[LIDAR].append(self._write_sweep(sweep, sample, time_s, is_key_frame=True))
            seen.append(np.bincount(sweep.owner[sweep.owner >= 0], minlength=len(self.stage.vehicles.size)))
            for c, camera in enumerate(cameras):
                jitter = float(rng_for(*self.stage.seed, 2, k, c).uniform(-SHUTTER_S, SHUTTER_S))
                streams[camera.name].append(
                    self._write_picture(camera, sample, time_s + camera.delay_s + jitter, k * 10 + c)
                )
        for stream in streams.values():
            self._link(stream)
        self._annotate(seen)

    def _data(self, channel: str, sample: str, time_s: float, folder: str, ending: str) -> dict:
        """A sample_data row, and the ego_pose row of its moment."""
        stamp = self._time_us(time_s)
        made = token(self.name, channel, stamp)
        # The vehicle's clock counts whole microseconds: what is stored is where the car was at the stored time.
        pose = self.stage.ego.world_from_ego(time_s)
        self.rows.add("ego_pose", token=made, timestamp=stamp, **_pose_fields(pose))
        return {
            "token": made,
            "sample_token": sample,
            "ego_pose_token": made,
            "calibrated_sensor_token": token(self.name, "calibration", channel),
            "timestamp": stamp,
            "fileformat": ending.split(".")[0],
            "is_key_frame": folder == "samples",
            "height": 0,
            "width": 0,
            "filename": f"{folder}/{channel}/{self._logfile}__{channel}__{stamp}.{ending}",
            "prev": "",
            "next": "",
        }

    def _write_sweep(self, sweep: Sweep, sample: str, time_s: float, *, is_key_frame: bool) -> dict:
        row = self._data(LIDAR, sample, time_s, "samples" if is_key_frame else "sweeps", "pcd.bin")
        columns = [sweep.points, sweep.intensity[:, None], sweep.ring[:, None]]
        np.concatenate(columns, axis=1).astype(np.float32).tofile(self.root / row["filename"])
        return row

    def _write_picture(self, camera: Camera, sample: str, time_s: float, stream: int) -> dict:
        row = self._data(camera.name, sample, time_s, "samples", "jpg")
        row["width"], row["height"] = camera.size
        picture = self.stage.photograph(camera, time_s, stream)
        cv2.imwrite(str(self.root / row["filename"]), picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        return row

    def _link(self, stream: list[dict]) -> None:
        for before, after in zip(stream[:-1], stream[1:], strict=True):
            before["next"], after["prev"] = after["token"], before["token"]
        for row in stream:
            self.rows.add("sample_data", **row)

    def _annotate(self, seen: list[NDArray]) -> None:
        """Boxes of the vehicles near the ego that returned at least one point, and their instances."""
        vehicles, found = self.stage.vehicles, {}
        for k, points in enumerate(seen):
            time_s = k * KEYFRAME_S
            poses = vehicles.poses(time_s)
            ego = self.stage.ego.planar(np.array([time_s]))[0, :2]
            near = (np.linalg.norm(poses[:, :2] - ego, axis=1) < ANNOTATED_M) & (points > 0)
            for i in np.flatnonzero(near):
                found.setdefault(int(i), []).append((k, poses[i], int(points[i])))
        for i, views in sorted(found.items()):
            self._add_instance(i, views)

    def _add_instance(self, i: int, views: list[tuple[int, NDArray, int]]) -> None:
        vehicles, instance = self.stage.vehicles, token(self.name, "instance", i)
        names = [token(self.name, "annotation", i, k) for k, _, _ in views]
        length, width, height = vehicles.size[i].tolist()
        state = "vehicle.parked" if i < len(vehicles.parked) else "vehicle.moving"
        category = "vehicle.car" if height < 2.2 else "vehicle.truck"
        self.rows.add(
            "instance",
            token=instance,
            category_token=token("category", category),
            nbr_annotations=len(views),
            first_annotation_token=names[0],
            last_annotation_token=names[-1],
        )
        for n, (k, (x, y, yaw), points) in enumerate(views):
            self.rows.add(
                "sample_annotation",
                token=names[n],
                sample_token=token(self.name, "sample", k),
                instance_token=instance,
                visibility_token="4",
                attribute_tokens=[token("attribute", state)],
                translation=[float(x), float(y), height / 2.0],
                size=[width, length, height],
                rotation=Quaternion(axis=[0, 0, 1], radians=float(yaw)).elements.tolist(),
                prev=names[n - 1] if n else "",
                next=names[n + 1] if n + 1 < len(names) else "",
                num_lidar_pts=points,
                num_radar_pts=0,
            )
