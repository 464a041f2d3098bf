"""Reading LiDAR sweeps into one cloud of the reference ego frame."""

import os

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import feather

from mapstack.errors import ConfigError, DataError
from mapstack.registry import TRANSFORMS

from .bev import aug_from_ego

__all__ = ["LoadLidar", "read_points"]

FLOAT_BYTES = 4


@TRANSFORMS.register_module()
class LoadLidar:
    """Gather the frame's LiDAR and earlier sweeps, each moved by the ego motion since.

    Adds ``points`` (M, 5) float32: x, y, z of the augmented ego frame, intensity in [0, 1], time lag s (0 for the
    frame's own), ``lidar_path``, and ``lidar_origin`` (3,), where the sensor stands in that frame. Near the start of a
    scene there are fewer sweeps.

    Args:
        num_sweeps: how many to gather, the frame's own included.
        ego_radius_m: points closer than this to the sensor, measured across, are the own vehicle and left out.
        max_range_m: points farther than this from the ego origin, measured across, are left out; None keeps all.
        allow_missing: a frame without LiDAR gets no point instead of raising. A file that the frame has and that is
            missing or unreadable is an error all the same.
    """

    def __init__(
        self,
        num_sweeps: int = 1,
        ego_radius_m: float = 0.0,
        max_range_m: float | None = None,
        allow_missing: bool = False,
    ) -> None:
        if num_sweeps < 1:
            raise ConfigError(f"num_sweeps counts the frame's own LiDAR and must be at least 1, got {num_sweeps}")
        self.num_sweeps, self.ego_radius_m, self.max_range_m = num_sweeps, ego_radius_m, max_range_m
        self.allow_missing = allow_missing

    def __call__(self, results: dict) -> dict:
        """Load the sweeps."""
        lidar, token = results["lidar"], results["token"]
        if lidar is None and self.allow_missing:
            results["points"] = np.zeros((0, 5), np.float32)
            return results
        if lidar is None:
            raise DataError(
                f"frame {token} has no LiDAR; take LoadLidar out of the pipeline, use a camera config, or let a model "
                f"that was trained with DropSensors go without by LoadLidar(allow_missing=True)"
            )
        own = {"path": lidar["path"], "time_lag_s": 0.0, "ego_from_sweep": lidar["ego_from_lidar"]}
        aug = aug_from_ego(results)
        clouds = [self._load(sweep, lidar, aug, token) for sweep in [own, *lidar["sweeps"][: self.num_sweeps - 1]]]
        results["points"] = clouds[0] if len(clouds) == 1 else np.concatenate(clouds)
        results["lidar_path"] = lidar["path"]
        results["lidar_origin"] = (aug @ lidar["ego_from_lidar"])[:3, 3]
        return results

    def _load(self, sweep: dict, lidar: dict, aug: NDArray, token: str) -> NDArray:
        raw = read_points(sweep["path"], lidar["num_columns"], token)
        if self.ego_radius_m > 0:
            raw = raw.take(np.flatnonzero(raw[:, 0] ** 2 + raw[:, 1] ** 2 > self.ego_radius_m**2), axis=0)
        aug_from_sweep = aug @ sweep["ego_from_sweep"]
        # One product moves the points and scales the intensity: three times quicker than doing either in place.
        linear = np.zeros((4, 5), np.float32)
        linear[:3, :3] = aug_from_sweep[:3, :3].T
        linear[3, 3] = 1.0 / lidar["intensity_max"]
        points = raw[:, :4] @ linear  # (M, 5)
        points += np.array([*aug_from_sweep[:3, 3], 0.0, sweep["time_lag_s"]], np.float32)
        np.clip(points[:, 3], 0.0, 1.0, out=points[:, 3])
        if self.max_range_m is not None:
            points = points[points[:, 0] ** 2 + points[:, 1] ** 2 <= self.max_range_m**2]
        return points


def read_points(path: str | os.PathLike, num_columns: int, token: str) -> NDArray:
    """Read a sweep: ``.bin`` rows of float32, ``.npy`` (M, columns), or ``.feather`` with x, y, z, intensity.

    Args:
        path: the file.
        num_columns: floats a row in a ``.bin``; the first four are x, y, z, intensity.
        token: of the frame, for messages.

    Returns:
        (M, >= 4) float32 sensor metres and raw intensity.

    Raises:
        DataError: missing, truncated or not finite.
    """
    path = os.fspath(path)
    try:
        if path.endswith(".feather"):
            table = feather.read_table(path, columns=["x", "y", "z", "intensity"], memory_map=False)
            points = np.stack([column.to_numpy().astype(np.float32) for column in table.columns], axis=1)
        elif path.endswith(".npy"):
            points = np.load(path, allow_pickle=False).astype(np.float32, copy=False)
        else:
            points = _read_bin(path, num_columns, token)
    except FileNotFoundError as error:
        raise DataError(f"frame {token}: {path} is missing; restore the file or prepare the index again") from error
    except (OSError, ValueError, pa.ArrowInvalid) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"frame {token}: {path} cannot be read as LiDAR points ({error}); copy the file again"
        ) from error
    if points.ndim != 2 or points.shape[1] < 4:
        raise DataError(f"frame {token}: {path} has shape {points.shape}, needs rows of x, y, z, intensity")
    # The sum of everything is a cheap first look; only what the model gets must be finite.
    if not np.isfinite(points.sum()) and (bad := int((~np.isfinite(points[:, :4]).all(axis=1)).sum())):
        raise DataError(
            f"frame {token}: {bad} of {len(points)} points in {path} are NaN or infinite; the recorder must leave out "
            f"returns that it did not get, write the sweep again without them"
        )
    return points


def _read_bin(path: str, num_columns: int, token: str) -> NDArray:
    flat = np.fromfile(path, np.float32)
    size = os.path.getsize(path)
    if size == 0 or size % (FLOAT_BYTES * num_columns):
        raise DataError(
            f"frame {token}: {path} is truncated: {size} bytes is not a positive multiple of "
            f"{FLOAT_BYTES * num_columns} ({num_columns} float32 a point); copy the file again"
        )
    return flat.reshape(-1, num_columns)
