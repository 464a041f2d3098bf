"""Tuples of frames with their poses, and what odometry and satellites say about them."""

import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from mapstack.errors import ConfigError, DataError
from mapstack.geometry.gnss import GnssNoise, apply_gnss_errors, draw_gnss_errors
from mapstack.geometry.odometry import OdometryNoise, simulate_odometry
from mapstack.registry import TRANSFORMS
from mapstack.structures import PoseDataSample

from .randomness import frame_generator

__all__ = ["ChooseFrames", "LoadTrajectories", "PackPoses", "SimulateGnss", "SimulateOdometry"]

TRAJECTORY_COLUMNS = 8  # TUM form: time in s, x, y, z, qx, qy, qz, qw
DRIVE_KEYS = ("odometry", "gnss")


def drive_generator(results: dict, seed: int, transform: object) -> np.random.Generator:
    """A generator of the drive, not of the frame: every tuple of a drive sees the same errors, in every epoch."""
    words = (results["drive"].scene, type(transform).__name__)
    return np.random.default_rng((seed, *(zlib.crc32(word.encode()) for word in words)))


@TRANSFORMS.register_module()
class SimulateOdometry:
    """Add ``odometry``, dead reckoning made of the true poses with noise; body axes are a vehicle's.

    Args:
        seed: of the noise, with the drive's name.
        scale: see :class:`OdometryNoise`.
        slip_m: see :class:`OdometryNoise`.
        yaw_rad: see :class:`OdometryNoise`.
        yaw_drift_rad_s: see :class:`OdometryNoise`.
    """

    def __init__(
        self,
        seed: int = 0,
        scale: float = 0.01,
        slip_m: float = 0.02,
        yaw_rad: float = 0.001,
        yaw_drift_rad_s: float = 0.0005,
    ) -> None:
        self.seed = seed
        self.noise = OdometryNoise(scale, slip_m, yaw_rad, yaw_drift_rad_s)

    def __call__(self, results: dict) -> dict:
        """Draw the drive's odometry."""
        _refuse_after_choice(results, self)
        drive = results["drive"]
        rng = drive_generator(results, self.seed, self)
        results["odometry"] = simulate_odometry(drive.poses, drive.times_s, self.noise, rng)
        return results


@TRANSFORMS.register_module()
class SimulateGnss:
    """Add ``gnss``, true places with a walking bias and white noise.

    Args:
        sigma_m: standard deviation along x and y at every instant.
        white_share: see :meth:`ErrorProcess.stationary`.
        relaxation_s: see :meth:`ErrorProcess.stationary`.
        seed: of the noise, with the drive's name.
    """

    def __init__(
        self, sigma_m: float = 2.0, white_share: float = 0.1, relaxation_s: float = 60.0, seed: int = 0
    ) -> None:
        self.noise = GnssNoise.stationary(sigma_m, 0.0, white_share, relaxation_s)
        self.seed = seed

    def __call__(self, results: dict) -> dict:
        """Draw the drive's errors."""
        _refuse_after_choice(results, self)
        drive = results["drive"]
        errors = draw_gnss_errors(drive.times_s, self.noise, drive_generator(results, self.seed, self))
        results["gnss"] = apply_gnss_errors(drive.poses, errors)[:, :2, 3]
        return results


@TRANSFORMS.register_module()
class LoadTrajectories:
    """Read odometry or satellite places that another program made, in TUM's text form, one file ``SCENE.txt`` a drive.

    A line is ``time x y z qx qy qz qw``, seconds since the drive's first frame; poses in between are interpolated.

    Args:
        odometry_root: folder of odom_from_body, body axes as the dataset gives them; adds ``odometry``.
        gnss_root: folder of places in the world, whose rotations are not read; adds ``gnss``.
    """

    def __init__(self, odometry_root: str | None = None, gnss_root: str | None = None) -> None:
        if odometry_root is None and gnss_root is None:
            raise ConfigError("LoadTrajectories needs odometry_root or gnss_root")
        self.odometry_root, self.gnss_root = odometry_root, gnss_root

    def __call__(self, results: dict) -> dict:
        """Read what there is for the drive."""
        _refuse_after_choice(results, self)
        drive = results["drive"]
        if self.odometry_root is not None:
            results["odometry"] = _read_trajectory(Path(self.odometry_root) / f"{drive.scene}.txt", drive.times_s)
        if self.gnss_root is not None:
            poses = _read_trajectory(Path(self.gnss_root) / f"{drive.scene}.txt", drive.times_s)
            results["gnss"] = poses[:, :2, 3]
        return results


@TRANSFORMS.register_module()
class ChooseFrames:
    """Take T frames around the one asked for, and leave the rest of the drive out.

    Adds ``cameras`` for LoadImages, ``poses`` (T, 4, 4), ``tokens``, and ``place`` among the T. A drive's end repeats
    its last frame, as MapNet's clips do.

    Args:
        steps: T; 1 for testing.
        skip: frames from one to the next.
        variable_skip: draw each gap from 1 to ``skip``.
    """

    def __init__(self, steps: int = 3, skip: int = 1, variable_skip: bool = False) -> None:
        if steps < 1 or skip < 1:
            raise ConfigError(f"steps and skip are at least 1, got {steps} and {skip}")
        self.steps, self.skip, self.variable_skip = steps, skip, variable_skip

    def __call__(self, results: dict) -> dict:
        """Choose the frames."""
        gaps = np.full(self.steps - 1, self.skip)
        if self.variable_skip:
            gaps = frame_generator(results, self).integers(1, self.skip + 1, self.steps - 1)
        offsets = np.concatenate([[0], np.cumsum(gaps)]).astype(int)
        middle = self.steps // 2
        drive = results.pop("drive")
        chosen = np.clip(results["place"] + offsets - offsets[middle], 0, len(drive.tokens) - 1)
        results["poses"] = drive.poses[chosen]
        results["tokens"] = [drive.tokens[i] for i in chosen]
        results["cameras"] = [{**drive.cameras[i], "name": str(step)} for step, i in enumerate(chosen)]
        for key in DRIVE_KEYS:
            if key in results:
                results[key] = results[key][chosen]
        results["place"] = middle
        return results


@TRANSFORMS.register_module()
class PackPoses:
    """Make ``{"inputs": tensors, "data_samples": PoseDataSample}`` of a tuple.

    ``inputs``: ``images`` (T, 3, H, W) uint8 RGB and ``camera_valid`` (T,).
    """

    def __call__(self, results: dict) -> dict:
        """Pack a tuple; the poses of an unlabelled one stay behind."""
        if "poses" not in results or "images" not in results:
            raise ConfigError(f"{results['token']}: PackPoses needs ChooseFrames and LoadImages before it")
        images = np.ascontiguousarray(np.stack(results["images"]).transpose(0, 3, 1, 2))
        meta = ("token", "tokens", "scene", "timestamp_ns", "place", "labelled")
        sample = PoseDataSample(metainfo={key: results[key] for key in meta})
        labelled = results["labelled"]
        poses = results["poses"] if labelled else np.tile(np.eye(4), (len(images), 1, 1))
        sample.poses = torch.from_numpy(poses)
        for key in DRIVE_KEYS:
            if key in results:
                sample.set_field(torch.from_numpy(results[key]), key)
        inputs = {"images": torch.from_numpy(images), "camera_valid": torch.from_numpy(results["camera_valid"])}
        return {"inputs": inputs, "data_samples": sample}


def _refuse_after_choice(results: dict, transform: object) -> None:
    if "drive" not in results:
        raise ConfigError(f"{type(transform).__name__} works on whole drives: put it before ChooseFrames")


def _read_trajectory(path: Path, times_s: NDArray) -> NDArray:
    """(N, 4, 4) poses at (N,) times."""
    try:
        rows = np.loadtxt(path, ndmin=2)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: no readable trajectory ({error}); lines are: time x y z qx qy qz qw") from error
    if rows.shape[1] != TRAJECTORY_COLUMNS or len(rows) < 2 or (np.diff(rows[:, 0]) <= 0).any():
        raise DataError(f"{path}: needs two lines or more of time x y z qx qy qz qw in order of time, got {rows.shape}")
    if times_s[0] < rows[0, 0] - 1e-6 or times_s[-1] > rows[-1, 0] + 1e-6:
        raise DataError(
            f"{path} covers {rows[0, 0]:.3f} to {rows[-1, 0]:.3f} s, the drive {times_s[0]:.3f} to {times_s[-1]:.3f} s"
        )
    times_s = np.clip(times_s, rows[0, 0], rows[-1, 0])
    poses = np.tile(np.eye(4), (len(times_s), 1, 1))
    poses[:, :3, :3] = Slerp(rows[:, 0], Rotation.from_quat(rows[:, 4:]))(times_s).as_matrix()
    poses[:, :3, 3] = np.stack([np.interp(times_s, rows[:, 0], rows[:, 1 + k]) for k in range(3)], 1)
    return poses
