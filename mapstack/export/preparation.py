"""A frame of raw sensor data to the model's input arrays: the training pipeline's test steps, in NumPy."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mapstack.errors import DataError
from mapstack.geometry.camera import check_intrinsics
from mapstack.geometry.se3 import invert, make_transform

from .images import choose_resizer, image_from_raw, pixel_table, warp
from .metadata import LidarPreparation, ModelMetadata
from .sensors import CameraImage, LidarSweep, PriorVectors, SensorFrame

__all__ = ["FramePreparation"]

NS_TO_S = 1e-9


class FramePreparation:
    """Prepares frames as the configured pipeline does for testing.

    A camera that is absent, dark or broken in a way that can be told (wrong shape or type, calibration that is not
    finite) is refused with its name, unless ``lenient``: it is then zero and marked invalid, and named in
    :meth:`broken_sensors`.

    Args:
        metadata: of the model.
        resizer: see :func:`mapstack.export.images.choose_resizer`.
        lenient: go without a sensor whose data cannot be used.
    """

    def __init__(self, metadata: ModelMetadata, resizer: str = "auto", lenient: bool = True) -> None:
        self.metadata, self.resizer, self._lenient = metadata, choose_resizer(resizer), lenient
        self._pixels = pixel_table(metadata.mean, metadata.std)

    def broken_sensors(self, frame: SensorFrame) -> dict[str, str]:
        """Sensors of the model that the frame lacks or whose data cannot be used, with the reason."""
        broken = {}
        for name in self.metadata.cameras:
            camera = frame.cameras.get(name)
            reason = "no image" if camera is None else _camera_fault(name, camera)
            if reason:
                broken[name] = reason
        if self.metadata.lidar is not None:
            reason = "no sweep" if frame.lidar is None else _sweep_fault(frame.lidar)
            if reason:
                broken["lidar"] = reason
        return broken

    def __call__(
        self, frame: SensorFrame, history: Sequence[LidarSweep] = ()
    ) -> tuple[dict[str, NDArray], dict[str, str]]:
        """Input arrays of a batch of one, and the broken sensors.

        Args:
            frame: what the sensors gave.
            history: earlier sweeps, latest first, where the frame has none of its own.

        Raises:
            DataError: the pose is not finite; a sensor is broken and the preparation is not lenient; all are.
        """
        if frame.world_from_ego.shape != (4, 4) or not np.isfinite(frame.world_from_ego).all():
            raise DataError(f"frame {frame.name}: world_from_ego must be (4, 4) finite numbers")
        broken = self.broken_sensors(frame)
        expected = len(self.metadata.cameras) + (self.metadata.lidar is not None)
        if broken and (not self._lenient or len(broken) == expected):
            reasons = "; ".join(f"{name}: {reason}" for name, reason in broken.items())
            raise DataError(f"frame {frame.name} cannot be used: {reasons}")
        shift = self._origin_shift(frame, broken)
        arrays = self._cameras(frame, broken, shift) if self.metadata.num_cameras else {}
        if self.metadata.lidar is not None:
            sweeps = [] if "lidar" in broken else [frame.lidar, *(history if frame.sweeps is None else frame.sweeps)]
            points = gather_points(sweeps, frame, self.metadata.lidar, shift)
            arrays["points"] = np.concatenate([np.zeros((len(points), 1), np.float32), points], 1)
            arrays["lidar_valid"] = np.array([len(points) > 0])
        if not self.metadata.num_cameras:
            arrays["batch_zeros"] = np.zeros(1, np.float32)
        return arrays | prior_arrays(frame.prior, self.metadata.max_priors), broken

    def _origin_shift(self, frame: SensorFrame, broken: dict[str, str]) -> NDArray:
        """(4, 4) new_from_ego: the identity unless the model's origin lies below the LiDAR."""
        if self.metadata.origin == "ego":
            return np.eye(4)
        if "lidar" in broken:
            raise DataError(f"frame {frame.name}: the model's origin is the LiDAR, and there is none")
        return make_transform(np.eye(3), -np.array([*frame.lidar.ego_from_lidar[:2, 3], 0.0]))

    def _cameras(self, frame: SensorFrame, broken: dict[str, str], shift: NDArray) -> dict[str, NDArray]:
        names, size = self.metadata.cameras, self.metadata.image_size
        images = np.zeros((1, len(names), 3, *size), np.float32)
        intrinsics = np.tile(np.eye(3, dtype=np.float32), (1, len(names), 1, 1))
        ego_from_camera = np.tile(np.eye(4, dtype=np.float32), (1, len(names), 1, 1))
        for view, name in enumerate(names):
            if name in broken:
                continue
            camera = frame.cameras[name]
            affine = image_from_raw(camera.image.shape[:2], size, self.metadata.keep_bottom)
            pixels = warp(camera.image, affine, size, self.resizer)
            for channel in range(3):
                images[0, view, channel] = self._pixels[channel].take(pixels[..., channel])
            intrinsics[0, view] = affine @ camera.intrinsics
            ego_from_camera[0, view] = shift @ camera.ego_from_camera
        valid = np.array([[name not in broken for name in names]])
        return {
            "images": images,
            "intrinsics": intrinsics,
            "ego_from_camera": ego_from_camera,
            "camera_valid": valid,
        }


def _camera_fault(name: str, camera: CameraImage) -> str | None:
    image = camera.image
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        return f"an image is (h, w, 3) uint8 RGB, got {getattr(image, 'shape', type(image))}"
    if min(image.shape[:2]) < 1:
        return f"the image is empty, {image.shape}"
    try:
        check_intrinsics(camera.intrinsics, name)
    except ValueError as error:
        return str(error)
    pose = np.asarray(camera.ego_from_camera)
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        return "ego_from_camera must be (4, 4) finite numbers"
    return None


def _sweep_fault(sweep: LidarSweep) -> str | None:
    points = sweep.points
    if not isinstance(points, np.ndarray) or points.ndim != 2 or points.shape[1] < 4:
        return f"points are (M, >= 4) numbers, got {getattr(points, 'shape', type(points))}"
    if len(points) == 0:
        return "no point"
    if not np.isfinite(points[:, :4]).all():
        return f"{int((~np.isfinite(points[:, :4]).all(1)).sum())} of {len(points)} points are not finite"
    for pose in (sweep.ego_from_lidar, sweep.world_from_ego):
        if np.shape(pose) != (4, 4) or not np.isfinite(pose).all():
            return "ego_from_lidar and world_from_ego must be (4, 4) finite numbers"
    return None if sweep.intensity_max > 0 else f"intensity_max must be positive, got {sweep.intensity_max}"


def gather_points(
    sweeps: Sequence[LidarSweep], frame: SensorFrame, preparation: LidarPreparation, shift: NDArray
) -> NDArray:
    """(M, 5) float32 x, y, z ego metres, intensity in [0, 1], time lag s, of a frame's sweep and those before it.

    An earlier sweep that cannot be used is left out.
    """
    ego_from_world = invert(frame.world_from_ego)
    clouds = []
    for number, sweep in enumerate(sweeps[: preparation.num_sweeps]):
        if number and _sweep_fault(sweep):
            continue
        ego_from_sweep = sweep.ego_from_lidar
        if number and not np.array_equal(sweep.world_from_ego, frame.world_from_ego):
            ego_from_sweep = ego_from_world @ sweep.world_from_ego @ sweep.ego_from_lidar
        lag_s = (frame.timestamp_ns - sweep.timestamp_ns) * NS_TO_S if number else 0.0
        clouds.append(_move(replace(sweep, ego_from_lidar=shift @ ego_from_sweep), lag_s, preparation))
    return np.concatenate(clouds) if clouds else np.zeros((0, 5), np.float32)


def _move(sweep: LidarSweep, lag_s: float, preparation: LidarPreparation) -> NDArray:
    raw, ego_from_sweep = np.asarray(sweep.points, np.float32), np.asarray(sweep.ego_from_lidar, np.float64)
    if preparation.ego_radius_m > 0:
        with np.errstate(over="ignore"):  # a return from 1e30 m is far enough away, squared or not
            raw = raw.take(np.flatnonzero(raw[:, 0] ** 2 + raw[:, 1] ** 2 > preparation.ego_radius_m**2), axis=0)
    linear = np.zeros((4, 5), np.float32)
    linear[:3, :3] = ego_from_sweep[:3, :3].T
    linear[3, 3] = 1.0 / sweep.intensity_max
    points = raw[:, :4] @ linear
    points += np.array([*ego_from_sweep[:3, 3], 0.0, lag_s], np.float32)
    np.clip(points[:, 3], 0.0, 1.0, out=points[:, 3])
    if preparation.max_range_m is not None:
        points = points[points[:, 0] ** 2 + points[:, 1] ** 2 <= preparation.max_range_m**2]
    return points


LENGTH_WEIGHT = 0.1  # as in mapstack.models.priors.batch
NUM_TAGS = 5  # of mapstack.maps.prior_lines.PRIOR_TAGS, whose module is not read where only a runtime is


def prior_arrays(prior: PriorVectors | None, limit: int | None = None) -> dict[str, NDArray]:
    """The prior's arrays by the names of the model's inputs, a batch of one, N at least 1; empty without a prior.

    With a limit the nearest vectors come first and the rest is cut, as the model's preprocessor has it.
    """
    if prior is None:
        return {}
    count = len(prior.points)
    if any(len(value) != count for value in (prior.labels, prior.sources, prior.confidence)):
        raise DataError(f"a prior's points, labels, sources and confidence must be as many, got {count} points")
    named = {
        "prior_points": np.asarray(prior.points, np.float32),
        "prior_labels": np.asarray(prior.labels, np.int64),
        "prior_sources": np.asarray(prior.sources, np.int64),
        "prior_confidence": np.asarray(prior.confidence, np.float32),
        "prior_tags": np.zeros((count, NUM_TAGS), np.float32)
        if prior.tags is None
        else np.asarray(prior.tags, np.float32),
        "prior_valid": np.ones(count, bool),
    }
    if limit is not None and count:
        order = _nearest_and_longest(named["prior_points"][..., :2])[:limit]
        named = {name: value[order] for name, value in named.items()}
    padding = 1 if count == 0 else 0
    return {
        name: np.concatenate([value, np.zeros((padding, *value.shape[1:]), value.dtype)])[None]
        for name, value in named.items()
    }


def _nearest_and_longest(flat: NDArray) -> NDArray:
    """Order of (n, P, 2) vectors by distance from the ego, a longer one being allowed to lie a little farther away."""
    distance = np.linalg.norm(flat, axis=-1).min(1)
    length = np.linalg.norm(np.diff(flat, axis=1), axis=-1).sum(1)
    return np.argsort(distance - np.float32(LENGTH_WEIGHT) * length, kind="stable")
