"""What a stream carries from frame to frame on the vehicle, and when it must be forgotten."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapstack.geometry.se3 import invert, planar_pose, yaw_rad

from .sensors import LidarSweep, SensorFrame

__all__ = ["StreamLimits", "StreamMemory"]

NS_TO_S = 1e-9


@dataclass(frozen=True)
class StreamLimits:
    """What one frame may differ from the one before it by; beyond it the two have nothing to do with each other.

    Args:
        max_gap_s: time; the model's own limit where smaller.
        max_speed_mps: of the ego origin, over the time between the frames.
        max_yaw_rate_rad_s: of the heading, likewise.
        slack_m: on top of what the speed allows, for a pose that is corrected.
        slack_rad: likewise for the heading.
    """

    max_gap_s: float = 1.5
    max_speed_mps: float = 70.0
    max_yaw_rate_rad_s: float = 2.0
    slack_m: float = 2.0
    slack_rad: float = 0.1


class StreamMemory:
    """State tensors and earlier sweeps of one stream.

    Args:
        limits: when to forget.
        num_sweeps: LiDAR sweeps that a frame gathers, its own included.
    """

    def __init__(self, limits: StreamLimits, num_sweeps: int = 1) -> None:
        self.limits = limits
        self._sweeps: deque[LidarSweep] = deque(maxlen=max(num_sweeps - 1, 0))
        self._last: SensorFrame | None = None
        self._state: dict[str, NDArray] = {}

    def reset(self) -> None:
        """Forget everything."""
        self._sweeps.clear()
        self._last, self._state = None, {}

    def reason_to_reset(self, frame: SensorFrame) -> str | None:
        """Why ``frame`` cannot continue the frame before it; None where it can, or where there is none."""
        last, limits = self._last, self.limits
        if last is None:
            return None
        if frame.scene != last.scene:
            return f"scene {frame.scene!r} after {last.scene!r}"
        gap_s = (frame.timestamp_ns - last.timestamp_ns) * NS_TO_S
        if not 0 < gap_s <= limits.max_gap_s:
            return f"time jumped by {gap_s:.3f} s"
        last_from_now = invert(last.world_from_ego) @ frame.world_from_ego
        moved = float(np.linalg.norm(last_from_now[:3, 3]))
        if not moved <= limits.max_speed_mps * gap_s + limits.slack_m:
            return f"the pose jumped by {moved:.1f} m in {gap_s:.3f} s"
        turned = abs(yaw_rad(last_from_now))
        if not turned <= limits.max_yaw_rate_rad_s * gap_s + limits.slack_rad:
            return f"the heading jumped by {np.rad2deg(turned):.0f} degrees in {gap_s:.3f} s"
        return None

    def sweeps_before(self, frame: SensorFrame) -> list[LidarSweep]:
        """Earlier sweeps that ``frame`` may gather, latest first."""
        limit_ns = self.limits.max_gap_s / NS_TO_S
        return [sweep for sweep in self._sweeps if 0 < frame.timestamp_ns - sweep.timestamp_ns <= limit_ns]

    def add_sweep(self, sweep: LidarSweep) -> None:
        """Keep a sweep for the frames to come."""
        self._sweeps.appendleft(sweep)

    def inputs(self, frame: SensorFrame, shapes: Mapping[str, Sequence[int]]) -> dict[str, NDArray]:
        """The graph's state inputs for ``frame``: zeros and not valid where there is no past.

        Args:
            frame: the one to be run.
            shapes: of one row of each state tensor, by name.
        """
        if not shapes:
            return {}
        past = bool(self._state) and self._last is not None
        motion = np.eye(4)
        if past:  # in float64: world coordinates are thousands of metres
            motion = invert(planar_pose(self._last.world_from_ego)) @ planar_pose(frame.world_from_ego)
        arrays = {
            f"state_{name}": self._state[name] if past else np.zeros((1, *shape), np.float32)
            for name, shape in shapes.items()
        }
        arrays["state_valid"] = np.array([past])
        arrays["previous_from_current"] = motion[None].astype(np.float32)
        return arrays

    def remember(self, frame: SensorFrame, state: Mapping[str, NDArray]) -> None:
        """Keep what ``frame`` left. A state that is not finite is not kept."""
        sound = all(np.isfinite(value).all() for value in state.values())
        self._state = dict(state) if sound else {}
        self._last = frame
        if frame.lidar is not None and frame.sweeps is None:
            self.add_sweep(frame.lidar)
