"""What the vehicle hands to the runtime, as plain NumPy: a frame of cameras, LiDAR, pose and prior map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["CameraImage", "LidarSweep", "PriorVectors", "SensorFrame"]


@dataclass(frozen=True)
class CameraImage:
    """One camera of a frame.

    Args:
        image: (h, w, 3) uint8 RGB, rectified, any size.
        intrinsics: (3, 3) of that image; a pixel's centre has whole coordinates.
        ego_from_camera: (4, 4), the ego frame at the frame's time: where the camera fires at another time, the ego
            motion in between is part of it.
    """

    image: NDArray
    intrinsics: NDArray
    ego_from_camera: NDArray


@dataclass(frozen=True)
class LidarSweep:
    """One turn of the LiDAR, or one merged cloud.

    Args:
        points: (M, >= 4) float32: x, y, z in the sensor's frame, metres, and the raw intensity; M may be 0.
        ego_from_lidar: (4, 4), the ego frame at the sweep's own time.
        intensity_max: raw intensity that counts as 1.
        timestamp_ns: of the sweep.
        world_from_ego: (4, 4) at that time.
    """

    points: NDArray
    ego_from_lidar: NDArray
    intensity_max: float
    timestamp_ns: int
    world_from_ego: NDArray


@dataclass(frozen=True)
class PriorVectors:
    """The map that is there already, around the car.

    Args:
        points: (n, P, 2) ego metres, every vector resampled to the P points that the model was trained with.
        labels: (n,) int64 class in the vocabulary of priors.
        sources: (n,) int64, which kind of map.
        confidence: (n,) float32 in [0, 1].
        tags: (n, T) float32 as :data:`mapstack.maps.prior_lines.PRIOR_TAGS`; None where nothing is told.
    """

    points: NDArray
    labels: NDArray
    sources: NDArray
    confidence: NDArray
    tags: NDArray | None = None


@dataclass(frozen=True)
class SensorFrame:
    """Everything of one moment; a sensor that gave nothing is left out.

    Args:
        timestamp_ns: the frame's reference time.
        world_from_ego: (4, 4) at that time.
        cameras: by name; those that the model does not know are not looked at.
        lidar: this frame's sweep, None where it failed.
        sweeps: earlier ones, latest first; None lets the runtime use those of the frames before.
        prior: None without a prior map.
        scene: of what drive; another name starts anew.
        token: name of the frame, for messages and results.
    """

    timestamp_ns: int
    world_from_ego: NDArray
    cameras: Mapping[str, CameraImage] = field(default_factory=dict)
    lidar: LidarSweep | None = None
    sweeps: Sequence[LidarSweep] | None = None
    prior: PriorVectors | None = None
    scene: str = ""
    token: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "world_from_ego", np.asarray(self.world_from_ego, np.float64))

    @property
    def name(self) -> str:
        """The token, or the time where there is none."""
        return self.token or str(self.timestamp_ns)
