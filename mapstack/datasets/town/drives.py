"""Lane-following motion: the ego vehicle's and everybody else's, exact at any time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapstack.errors import DataError
from mapstack.geometry.se3 import make_transform

from .curves import Curve
from .elements import DistrictMap

__all__ = ["Motion", "draw_route", "ego_motion"]

ROUTE_ATTEMPTS = 200


@dataclass(frozen=True)
class Motion:
    """A vehicle on a curve.

    Args:
        curve: what it follows.
        start_m: where it is at time 0.
        speed: mean speed, m/s.
        surge_m: amplitude of its getting ahead of and falling behind that speed.
        sway_m: amplitude of its straying from the lane's middle.
        tilt_rad: amplitude of roll and pitch.
        phases: (4,) radians, of surge, sway, roll and pitch.
    """

    curve: Curve
    start_m: float
    speed: float
    surge_m: float
    sway_m: float
    tilt_rad: float
    phases: NDArray

    def distance_m(self, time_s: NDArray) -> NDArray:
        """Arc length on the curve at (M,) times."""
        surge = np.sin(0.9 * time_s + self.phases[0]) - np.sin(self.phases[0])
        return self.start_m + self.speed * time_s + self.surge_m * surge

    def planar(self, time_s: NDArray) -> NDArray:
        """(M, 3) x, y, yaw at (M,) times."""
        at = self.distance_m(np.asarray(time_s, float))
        poses = self.curve.poses(at)
        sway = self.sway_m * np.sin(at / 9.0 + self.phases[1])
        poses[:, 0] -= sway * np.sin(poses[:, 2])
        poses[:, 1] += sway * np.cos(poses[:, 2])
        poses[:, 2] += np.arctan(self.sway_m / 9.0 * np.cos(at / 9.0 + self.phases[1]))
        return poses

    def world_from_ego(self, time_s: float) -> NDArray:
        """(4, 4) pose with the small roll and pitch of a sprung car; z is 0, on the road."""
        x, y, yaw = self.planar(np.array([time_s]))[0]
        roll = self.tilt_rad * np.sin(3.1 * time_s + self.phases[2])
        pitch = self.tilt_rad * np.sin(2.3 * time_s + self.phases[3])
        cos, sin = np.cos([roll, pitch, yaw]), np.sin([roll, pitch, yaw])
        rotate_x = np.array([[1, 0, 0], [0, cos[0], -sin[0]], [0, sin[0], cos[0]]])
        rotate_y = np.array([[cos[1], 0, sin[1]], [0, 1, 0], [-sin[1], 0, cos[1]]])
        rotate_z = np.array([[cos[2], -sin[2], 0], [sin[2], cos[2], 0], [0, 0, 1]])
        return make_transform(rotate_z @ rotate_y @ rotate_x, np.array([x, y, 0.0]))


def draw_route(
    district: DistrictMap, rng: np.random.Generator, lane: int, start_m: float, length_m: float
) -> Curve | None:
    """Lanes and connectors from a place on ``lane`` on, at least ``length_m`` long; None where the way ends early."""
    ways: dict[int, list[int]] = {}
    for i, connector in enumerate(district.connectors):
        ways.setdefault(connector.from_lane, []).append(i)
    parts, total = [district.lanes[lane].curve], district.lanes[lane].curve.length - start_m
    while total < length_m:
        if lane not in ways:
            return None
        connector = district.connectors[ways[lane][rng.integers(len(ways[lane]))]]
        lane = connector.to_lane
        parts += [connector.curve, district.lanes[lane].curve]
        total += parts[-1].length + parts[-2].length
    return Curve(
        parts[0].start, np.concatenate([p.lengths for p in parts]), np.concatenate([p.curvatures for p in parts])
    )


def ego_motion(district: DistrictMap, rng: np.random.Generator, lane: int, duration_s: float) -> Motion:
    """A drive of ``duration_s`` that begins on ``lane``, or on another one where that leads nowhere."""
    for _ in range(ROUTE_ATTEMPTS):
        speed = float(rng.uniform(5.0, 10.0))
        # A drive leaves its first lane before it ends, so that every drive meets a junction.
        ahead_m = float(rng.uniform(0.1, 0.8)) * speed * duration_s
        start_m = max(0.0, district.lanes[lane].curve.length - ahead_m)
        curve = draw_route(district, rng, lane, start_m, speed * duration_s + 30.0)
        if curve is not None:
            surge, sway = float(rng.uniform(0.2, 0.8)), float(rng.uniform(0.05, 0.35))
            tilt = float(np.radians(rng.uniform(0.1, 0.5)))
            return Motion(curve, start_m, speed, surge, sway, tilt, rng.uniform(0.0, 2 * np.pi, 4))
        lane = int(rng.integers(len(district.lanes)))
    raise DataError(f"no lane of a district of {len(district.lanes)} leads {duration_s} s far; try another town seed")
