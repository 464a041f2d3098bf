"""Things that stand on the ground, drawn back to front."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .boxes import BODY, BUILDING, CABIN, CROWN, HEDGE, POLE, Boxes
from .canvas import SHIFT
from .facade import Quads, facades, vehicle_quads
from .weather import Weather

__all__ = ["Painter"]

NEAR_M = 0.25
SIGHT_M = 110.0
CROWN_BLOBS = 9
MAX_PIXEL = 20000.0


@dataclass(frozen=True)
class Painter:
    """What a camera can see besides the ground, for one moment.

    Args:
        quads: faces of buildings, hedges and vehicles.
        poles: POLE boxes.
        blobs: (M, 4) world x, y, z and radius of the balls that make up tree crowns.
        blob_colors: (M, 3) BGR.
        weather: light and haze.
    """

    quads: Quads
    poles: Boxes
    blobs: NDArray
    blob_colors: NDArray
    weather: Weather

    @staticmethod
    def of_scene(standing: Boxes, weather: Weather, rng: np.random.Generator) -> "Painter":
        """Everything that never moves."""
        walls = standing[(standing.kind == BUILDING) | (standing.kind == HEDGE)]
        crowns = standing[standing.kind == CROWN]
        count = len(crowns) * CROWN_BLOBS
        radius = np.repeat(crowns.half[:, 0], CROWN_BLOBS)
        middle, spread = crowns.z.mean(1).repeat(CROWN_BLOBS), np.ptp(crowns.z, axis=1).repeat(CROWN_BLOBS)
        blobs = np.empty((count, 4))
        blobs[:, :2] = crowns.center.repeat(CROWN_BLOBS, 0) + rng.uniform(-0.55, 0.55, (count, 2)) * radius[:, None]
        blobs[:, 2] = middle + rng.uniform(-0.3, 0.3, count) * spread
        blobs[:, 3] = radius * rng.uniform(0.45, 0.75, count)
        light = 0.75 + 0.5 * (blobs[:, 2] - middle) / spread + rng.uniform(-0.1, 0.25, count)
        colors = np.clip(crowns.color.repeat(CROWN_BLOBS, 0) * light[:, None], 0, 255)
        return Painter(facades(walls, weather, rng), standing[standing.kind == POLE], blobs, colors, weather)

    def with_vehicles(self, vehicles: Boxes) -> "Painter":
        """The same scene with vehicles where they are now."""
        body, cabin = vehicles[vehicles.kind == BODY], vehicles[vehicles.kind == CABIN]
        quads = Quads.join([self.quads, vehicle_quads(body, cabin, self.weather)])
        return Painter(quads, self.poles, self.blobs, self.blob_colors, self.weather)

    def paint(self, image: NDArray, intrinsics: NDArray, camera_from_world: NDArray) -> None:
        """Draw onto ``image`` in place."""
        eye = -camera_from_world[:3, :3].T @ camera_from_world[:3, 3]
        quads = self._visible(self.quads, eye, intrinsics, camera_from_world, image.shape[1])
        quads = Quads.join([quads, self._pole_quads(eye)])
        distance = np.linalg.norm(quads.anchor - eye[:2], axis=1)
        corners = quads.corners @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]  # (M, 4, 3)
        front = corners[..., 2] > NEAR_M
        blobs = self.blobs[:, :3] @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
        blob_distance = np.linalg.norm(self.blobs[:, :2] - eye[:2], axis=1)
        keep_blob = np.flatnonzero((blobs[:, 2] > 1.0) & (blob_distance < SIGHT_M))
        shown = np.flatnonzero(front.any(1))
        keys = np.concatenate([distance[shown], blob_distance[keep_blob]])
        ranks = np.concatenate([quads.rank[shown], np.zeros(len(keep_blob), int)])
        colors = self._hazy(quads.color, distance), self._hazy(self.blob_colors, blob_distance)
        for item in np.lexsort((np.arange(len(keys)), ranks, -keys)):
            if item < len(shown):
                i = shown[item]
                polygon = corners[i] if front[i].all() else _clip_near(corners[i])
                _fill(image, polygon, intrinsics, colors[0][i])
            else:
                i = keep_blob[item - len(shown)]
                _ball(image, blobs[i], self.blobs[i, 3], intrinsics, colors[1][i])

    def _hazy(self, color: NDArray, distance: NDArray) -> list[tuple[int, ...]]:
        keep = np.exp(-distance / self.weather.haze_m)[:, None]
        mixed = color * keep + self.weather.haze * (1.0 - keep)
        return [tuple(row) for row in mixed.astype(int).tolist()]

    def _visible(
        self, quads: Quads, eye: NDArray, intrinsics: NDArray, camera_from_world: NDArray, width: int
    ) -> Quads:
        """Quads that face the eye, are near enough for their detail, and may lie in the picture."""
        offset = eye - quads.corners[:, 0]
        facing = (quads.normal * offset).sum(1) > 0.0
        distance = np.linalg.norm(quads.anchor - eye[:2], axis=1)
        middle = np.concatenate([quads.anchor, np.full((len(quads.anchor), 1), 1.5)], axis=1)
        in_camera = middle @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
        reach = quads.reach_m
        half = max(intrinsics[0, 2], width - intrinsics[0, 2]) / intrinsics[0, 0]
        inside = np.abs(in_camera[:, 0]) < (half * np.maximum(in_camera[:, 2], 0.0) + reach * np.hypot(1.0, half))
        keep = facing & inside & (in_camera[:, 2] > -reach) & (distance < quads.sight_m)
        return quads[keep]

    def _pole_quads(self, eye: NDArray) -> Quads:
        """Poles as boards that face the eye."""
        poles = self.poles[np.linalg.norm(self.poles.center - eye[:2], axis=1) < SIGHT_M]
        toward = poles.center - eye[:2]
        across = np.stack([-toward[:, 1], toward[:, 0]], 1) / np.linalg.norm(toward, axis=1, keepdims=True)
        sides = [poles.center + sign * poles.half[:, :1] * across for sign in (1.0, -1.0)]
        corners = np.empty((len(poles), 4, 3))
        for k, (side, end) in enumerate(((0, 0), (1, 0), (1, 1), (0, 1))):
            corners[:, k, :2], corners[:, k, 2] = sides[side], poles.z[:, end]
        count = len(poles)
        color = poles.color * (0.5 if self.weather.is_night else 1.0)
        return Quads(
            corners,
            np.zeros((count, 3)),
            color,
            poles.center,
            np.zeros(count, int),
            np.ones(count),
            np.full(count, SIGHT_M),
        )


def _clip_near(polygon: NDArray) -> NDArray:
    """The part of a camera-frame polygon beyond the near plane."""
    kept = []
    for a, b in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if a[2] > NEAR_M:
            kept.append(a)
        if (a[2] > NEAR_M) != (b[2] > NEAR_M):
            kept.append(a + (NEAR_M - a[2]) / (b[2] - a[2]) * (b - a))
    return np.array(kept)


def _fill(image: NDArray, polygon: NDArray, intrinsics: NDArray, color: tuple[int, ...]) -> None:
    x = polygon[:, 0] / polygon[:, 2] * intrinsics[0, 0] + intrinsics[0, 2]
    y = polygon[:, 1] / polygon[:, 2] * intrinsics[1, 1] + intrinsics[1, 2]
    if x.max() < 0 or y.max() < 0 or x.min() > image.shape[1] or y.min() > image.shape[0]:
        return
    pixels = np.clip(np.stack([x, y], 1), -MAX_PIXEL, MAX_PIXEL)
    cv2.fillConvexPoly(image, np.round(pixels * (1 << SHIFT)).astype(np.int32), color, cv2.LINE_AA, SHIFT)


def _ball(image: NDArray, center: NDArray, radius_m: float, intrinsics: NDArray, color: tuple[int, ...]) -> None:
    radius = radius_m * intrinsics[0, 0] / center[2]
    x = center[0] / center[2] * intrinsics[0, 0] + intrinsics[0, 2]
    y = center[1] / center[2] * intrinsics[1, 1] + intrinsics[1, 2]
    if -radius < x < image.shape[1] + radius and -radius < y < image.shape[0] + radius:
        at = round(x * (1 << SHIFT)), round(y * (1 << SHIFT))
        cv2.circle(image, at, round(radius * (1 << SHIFT)), color, cv2.FILLED, cv2.LINE_AA, SHIFT)
