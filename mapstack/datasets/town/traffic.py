"""Vehicles of one scene: parked at the kerb, and moving along the lanes around the drive."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .boxes import BODY, CABIN, Boxes
from .drives import Motion, draw_route
from .elements import DistrictMap

__all__ = ["Vehicles", "draw_vehicles"]

SIGHT_M = 75.0
CLEARANCE_M = 6.5
MOVING_CANDIDATES = 26
PAINTS = np.array(
    [[222, 222, 222], [60, 60, 62], [28, 28, 30], [140, 142, 145], [46, 42, 150], [122, 78, 40], [70, 96, 60]], float
)


@dataclass(frozen=True)
class Vehicles:
    """All vehicles of a scene except the ego.

    Args:
        size: (N, 3) length, width, height.
        color: (N, 3) BGR paint.
        parked: (P, 3) x, y, yaw of the first P vehicles, which stand still.
        moving: motions of the others.
    """

    size: NDArray
    color: NDArray
    parked: NDArray
    moving: list[Motion]

    def poses(self, time_s: float) -> NDArray:
        """(N, 3) x, y, yaw of the middle of each vehicle."""
        at = np.array([time_s])
        return np.concatenate([self.parked, *[motion.planar(at) for motion in self.moving]])

    def boxes(self, time_s: float) -> Boxes:
        """Two boxes a vehicle: body, and on it the cabin, dark with glass."""
        poses, (length, width, height) = self.poses(time_s), self.size.T
        count, is_tall = len(poses), height > 2.2
        waist = np.where(is_tall, height * 0.9, height * 0.58)
        body = Boxes(
            poses[:, :2],
            poses[:, 2],
            np.stack([length, width], 1) / 2,
            np.stack([np.full(count, 0.22), waist], 1),
            np.full(count, BODY),
            self.color,
            np.arange(count),
        )
        back = np.stack([np.cos(poses[:, 2]), np.sin(poses[:, 2])], 1) * (-0.06 * length)[:, None]
        cabin_half = np.stack([length * np.where(is_tall, 0.49, 0.29), width * np.where(is_tall, 0.49, 0.44)], 1)
        glass = np.where(is_tall[:, None], self.color, np.array([52.0, 46.0, 42.0]))
        cabin = Boxes(
            poses[:, :2] + back,
            poses[:, 2],
            cabin_half,
            np.stack([waist, height], 1),
            np.full(count, CABIN),
            glass,
            np.arange(count),
        )
        return Boxes.join([body, cabin])


def draw_vehicles(district: DistrictMap, ego: Motion, duration_s: float, rng: np.random.Generator) -> Vehicles:
    """Park and drive vehicles within sight of the drive, none of which ever touches the ego or another."""
    times = np.linspace(-0.5, duration_s + 0.5, 48)
    track = ego.planar(times)
    parked = _parked(district, track, rng)
    moving = _leaders(ego, rng) + _moving_candidates(district, track, rng)
    tracks, accepted = [track[:, :2]], []
    fixed = parked[:, :2]
    for motion in moving:
        path = motion.planar(times)[:, :2]
        gap = min(np.linalg.norm(path - other, axis=1).min() for other in tracks)
        from_parked = np.linalg.norm(path[:, None] - fixed[None], axis=-1).min() if len(fixed) else np.inf
        if gap > CLEARANCE_M and from_parked > 2.2:
            tracks.append(path)
            accepted.append(motion)
    count = len(parked) + len(accepted)
    size = np.stack([rng.uniform(3.8, 5.1, count), rng.uniform(1.68, 1.95, count), rng.uniform(1.4, 1.85, count)], 1)
    is_van = rng.random(count) < 0.1
    size[is_van] = np.array([5.6, 2.05, 2.6]) * rng.uniform(0.92, 1.08, (int(is_van.sum()), 3))
    color = PAINTS[rng.integers(len(PAINTS), size=count)] * rng.uniform(0.8, 1.15, (count, 1))
    return Vehicles(size, np.clip(color, 10, 240), parked, accepted)


def _parked(district: DistrictMap, track: NDArray, rng: np.random.Generator) -> NDArray:
    rows = []
    for road in district.network.roads:
        section, length = road.section, road.curve.length
        for strip_m, side in ((section.parking_right_m, -1.0), (section.parking_left_m, 1.0)):
            occupancy = rng.uniform(0.2, 0.8)
            if not strip_m or road.curve.length < 20.0:
                continue
            slots = np.arange(6.0 + rng.uniform(0.0, 3.0), length - 8.0, 6.4)
            slots = slots[rng.random(len(slots)) < occupancy]
            for low, high in road.crossings:
                slots = slots[(slots < low - 5.0) | (slots > high + 5.0)]
            poses = road.curve.poses(slots + rng.uniform(-0.4, 0.4, len(slots)))
            left = side * (section.half_m - strip_m / 2.0) + rng.uniform(-0.12, 0.12, len(slots))
            x, y = poses[:, 0] - left * np.sin(poses[:, 2]), poses[:, 1] + left * np.cos(poses[:, 2])
            yaw = poses[:, 2] + (np.pi if side > 0 else 0.0) + rng.normal(0.0, 0.015, len(slots))
            rows.append(np.stack([x, y, yaw], 1))
    poses = np.concatenate(rows) if rows else np.zeros((0, 3))
    distance = np.linalg.norm(poses[:, None, :2] - track[None, ::4, :2], axis=-1).min(1)
    return poses[distance < SIGHT_M]


def _leaders(ego: Motion, rng: np.random.Generator) -> list[Motion]:
    """Sometimes a car ahead on the ego's own way, sometimes one behind, at the ego's pace."""
    motions = []
    for share, gaps in ((0.45, (11.0, 28.0)), (0.3, (-24.0, -11.0))):
        gap, phases = float(rng.uniform(*gaps)), ego.phases.copy()
        phases[1:] = rng.uniform(0.0, 2 * np.pi, 3)
        if rng.random() < share and ego.start_m + gap > 0.0:
            motions.append(Motion(ego.curve, ego.start_m + gap, ego.speed, ego.surge_m, 0.2, 0.0, phases))
    return motions


def _moving_candidates(district: DistrictMap, track: NDArray, rng: np.random.Generator) -> list[Motion]:
    middles = np.array([lane.curve.poses(np.array([lane.curve.length / 2]))[0, :2] for lane in district.lanes])
    reach = np.array([lane.curve.length / 2 for lane in district.lanes])
    distance = np.linalg.norm(middles[:, None] - track[None, ::4, :2], axis=-1).min(1) - reach
    near = np.flatnonzero(distance < SIGHT_M - 20.0)
    motions = []
    for _ in range(MOVING_CANDIDATES):
        lane = int(rng.choice(near))
        start = float(rng.uniform(0.0, district.lanes[lane].curve.length))
        is_waiting = rng.random() < 0.15
        speed = 0.0 if is_waiting else float(rng.uniform(3.5, 9.5))
        curve = draw_route(district, rng, lane, start, speed * 14.0)
        if curve is not None:
            motions.append(Motion(curve, start, speed, 0.0, 0.15, 0.0, rng.uniform(0.0, 2 * np.pi, 4)))
    return motions
