"""Flat faces of buildings, hedges and vehicles, with windows, wheels and lamps."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from .boxes import BUILDING, Boxes
from .weather import Weather

__all__ = ["Quads", "facades", "vehicle_quads"]

PANEL_M = 4.0
FLOOR_M = 3.0
WINDOW_SIGHT_M = 48.0
SIGHT_M = 110.0
ROUND_BASE_M = 0.6  # centre of a wheel patch along the body, as a share of half its length

# Patches on a vehicle's body: face (0 left, 1 back, 2 right, 3 front), from and to along it, bottom, top, BGR.
PATCHES = (
    (0, 0.12, 0.30, -0.35, 0.35, (22, 22, 22)),
    (0, 0.70, 0.88, -0.35, 0.35, (22, 22, 22)),
    (2, 0.12, 0.30, -0.35, 0.35, (22, 22, 22)),
    (2, 0.70, 0.88, -0.35, 0.35, (22, 22, 22)),
    (1, 0.04, 0.22, 0.55, 0.85, (40, 36, 200)),
    (1, 0.78, 0.96, 0.55, 0.85, (40, 36, 200)),
    (1, 0.36, 0.64, 0.30, 0.52, (190, 196, 196)),
    (3, 0.04, 0.22, 0.50, 0.78, (225, 232, 236)),
    (3, 0.78, 0.96, 0.50, 0.78, (225, 232, 236)),
    (3, 0.28, 0.72, 0.28, 0.62, (34, 34, 34)),
)


@dataclass(frozen=True)
class Quads:
    """M flat four-cornered faces.

    Args:
        corners: (M, 4, 3) world metres.
        normal: (M, 3) outward, any length.
        color: (M, 3) BGR.
        anchor: (M, 2) world metres, the place whose distance decides the drawing order.
        rank: (M,) int, order among quads of one anchor.
        reach_m: (M,) how far the corners may be from the anchor.
        sight_m: (M,) beyond this distance the quad is left out.
    """

    corners: NDArray
    normal: NDArray
    color: NDArray
    anchor: NDArray
    rank: NDArray
    reach_m: NDArray
    sight_m: NDArray

    def __getitem__(self, keep: NDArray) -> "Quads":
        return Quads(*[getattr(self, field.name)[keep] for field in fields(self)])

    @staticmethod
    def join(parts: "list[Quads]") -> "Quads":
        """All quads of several lots, in order."""
        return Quads(*[np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Quads)])


def _upright(a: NDArray, b: NDArray, z: NDArray) -> NDArray:
    """(M, 4, 3) corners of walls from (M, 2) ``a`` to ``b`` between the (M, 2) heights ``z``."""
    corners = np.empty((len(a), 4, 3))
    corners[:, 0, :2] = corners[:, 3, :2] = a
    corners[:, 1, :2] = corners[:, 2, :2] = b
    corners[:, :2, 2], corners[:, 2:, 2] = z[:, :1], z[:, 1:]
    return corners


def _light(normal: NDArray, weather: Weather) -> NDArray:
    """(M, 1) brightness of walls by how they face the sun."""
    size = np.linalg.norm(weather.shadow_per_m)
    toward_sun = -(normal[:, :2] @ (weather.shadow_per_m / size)) / np.linalg.norm(normal, axis=1)
    depth = 0.9 * (1.0 - weather.shade)
    return (0.86 + depth * np.clip(toward_sun, -0.6, 0.45))[:, None]


def facades(boxes: Boxes, weather: Weather, rng: np.random.Generator) -> Quads:
    """Walls cut into panels, so that drawing by distance is right, and windows on the buildings."""
    corners = boxes.corners()
    starts, ends, owners = [], [], []
    for side in range(4):
        a, b = corners[:, side], corners[:, (side + 1) % 4]
        count = np.maximum(1, np.ceil(np.linalg.norm(b - a, axis=1) / PANEL_M)).astype(int)
        which = np.repeat(np.arange(len(boxes)), count)
        step = np.concatenate([np.arange(c) for c in count]) if len(boxes) else np.zeros(0)
        along = (b - a)[which] / count[which, None]
        starts.append(a[which] + step[:, None] * along)
        ends.append(starts[-1] + along)
        owners.append(which)
    start, end, owner = np.concatenate(starts), np.concatenate(ends), np.concatenate(owners)
    normal = np.stack([(end - start)[:, 1], -(end - start)[:, 0], np.zeros(len(start))], 1)
    light = _light(normal, weather)
    count = len(start)
    walls = Quads(
        corners=_upright(start, end, boxes.z[owner]),
        normal=normal,
        color=np.clip(boxes.color[owner] * light * rng.uniform(0.96, 1.04, (count, 1)), 0, 255),
        anchor=(start + end) / 2.0,
        rank=np.zeros(count, int),
        reach_m=np.full(count, PANEL_M),
        sight_m=np.full(count, SIGHT_M),
    )
    has_windows = boxes.kind[owner] == BUILDING
    return Quads.join([walls, _windows(walls, boxes.z[owner], has_windows, weather, rng)])


def _windows(walls: Quads, z: NDArray, has_windows: NDArray, weather: Weather, rng: np.random.Generator) -> Quads:
    floors = np.clip(np.floor((z[:, 1] - z[:, 0] - 0.6) / FLOOR_M), 0, 6).astype(int) * has_windows
    which = np.repeat(np.arange(len(z)), 2 * floors)
    slot = np.concatenate([np.arange(2 * f) for f in floors]) if len(z) else np.zeros(0)
    a, b = walls.corners[which, 0, :2], walls.corners[which, 1, :2]
    left = 0.1 + 0.5 * (slot % 2)[:, None]
    bottom = walls.corners[which, 0, 2] + FLOOR_M * (slot // 2) + 0.9
    quads = walls[which]
    glass = np.array([96.0, 84.0, 70.0]) * rng.uniform(0.5, 1.5, (len(which), 1))
    lit = rng.random(len(which)) < (0.35 if weather.is_night else 0.0)
    glass[lit] = (150.0, 215.0, 240.0)
    out = quads.normal / np.linalg.norm(quads.normal, axis=1, keepdims=True) * 0.02
    corners = _upright(
        a + left * (b - a) + out[:, :2], a + (left + 0.3) * (b - a) + out[:, :2], np.stack([bottom, bottom + 1.4], 1)
    )
    ones = np.ones(len(which))
    return Quads(
        corners,
        quads.normal,
        np.clip(glass, 0, 255),
        quads.anchor,
        ones.astype(int),
        quads.reach_m,
        ones * WINDOW_SIGHT_M,
    )


def vehicle_quads(body: Boxes, cabin: Boxes, weather: Weather) -> Quads:
    """Faces of bodies and cabins, with wheels, lamps and plates on the bodies."""
    parts = [_box_quads(body, body.center, 1, weather), _box_quads(cabin, body.center, 3, weather)]
    corners, count = body.corners(), len(body)
    low, tall = body.z[:, 0], np.ptp(body.z, axis=1)
    for face, start, end, bottom, top, color in PATCHES:
        a, b = corners[:, face], corners[:, (face + 1) % 4]
        normal = np.stack([(b - a)[:, 1], -(b - a)[:, 0], np.zeros(count)], 1)
        z = np.stack([low + bottom * tall, low + top * tall], 1)
        z[:, 0] = np.maximum(z[:, 0], 0.02)
        quad = _upright(a + start * (b - a), a + end * (b - a), z)
        ones = np.ones(count)
        parts.append(
            Quads(
                quad,
                normal,
                np.tile(np.array(color, float), (count, 1)),
                body.center,
                2 * ones.astype(int),
                4 * ones,
                ones * 60.0,
            )
        )
    shade = np.empty((count, 4, 3))
    shade[..., :2], shade[..., 2] = body.center[:, None] + (corners - body.center[:, None]) * 1.04, 0.01
    ones = np.ones(count)
    up = np.tile([0.0, 0.0, 1.0], (count, 1))
    dark = np.full((count, 3), 26.0)
    parts.append(Quads(shade, up, dark, body.center, 0 * ones.astype(int), 4 * ones, ones * SIGHT_M))
    return Quads.join(parts)


def _box_quads(boxes: Boxes, anchor: NDArray, rank: int, weather: Weather) -> Quads:
    corners, count, parts = boxes.corners(), len(boxes), []
    ones = np.ones(count)
    for side in range(4):
        a, b = corners[:, side], corners[:, (side + 1) % 4]
        normal = np.stack([(b - a)[:, 1], -(b - a)[:, 0], np.zeros(count)], 1)
        color = boxes.color * _light(normal, weather) * (0.92 if side % 2 else 1.0)
        parts.append((_upright(a, b, boxes.z), normal, color))
    top = np.concatenate([corners, np.repeat(boxes.z[:, 1:], 4, 1)[..., None]], axis=-1)
    parts.append((top, np.tile([0.0, 0.0, 1.0], (count, 1)), boxes.color * 1.08))
    return Quads.join(
        [
            Quads(quad, normal, np.clip(color, 0, 255), anchor, rank * ones.astype(int), 4 * ones, ones * SIGHT_M)
            for quad, normal, color in parts
        ]
    )
