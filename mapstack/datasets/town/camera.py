"""One camera picture: ground by ray casting, things standing on it by painting, then light and sensor."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstack.geometry.se3 import make_transform

from .ground import KERB_M, Ground
from .painter import Painter
from .weather import Weather

__all__ = ["View", "render"]

SUBROWS = 3  # rays a pixel row: far ground is squeezed much more along the road than across
FAR_M = 400.0


@dataclass(frozen=True)
class View:
    """A camera at one moment: ``size`` is (width, height)."""

    size: tuple[int, int]
    intrinsics: NDArray
    world_from_camera: NDArray


def render(view: View, ground: Ground, painter: Painter, weather: Weather, rng: np.random.Generator) -> NDArray:
    """(height, width, 3) BGR uint8."""
    image, horizon = _sky(view, weather)
    rows, depth_m = _ground(view, ground, horizon)
    keep = np.exp(-depth_m / weather.haze_m)[:, None, None].astype(np.float32)
    image[horizon:] = (rows * keep + weather.haze.astype(np.float32) * (1.0 - keep)).astype(np.uint8)
    rotation = view.world_from_camera[:3, :3].T
    painter.paint(image, view.intrinsics, make_transform(rotation, -rotation @ view.world_from_camera[:3, 3]))
    return _expose(image, weather, rng)


def _sky(view: View, weather: Weather) -> tuple[NDArray, int]:
    """Sky over the whole picture, and the first row that has ground in it."""
    width, height = view.size
    # Rays run level where up . K^-1 (u, v, 1) = 0, up being the world's z in camera axes.
    up, (fx, _, cx), (_, fy, cy) = view.world_from_camera[2, :3], view.intrinsics[0], view.intrinsics[1]
    level = cy - fy * (up[0] * (np.array([0.0, width - 1.0]) - cx) / fx + up[2]) / up[1]
    horizon = int(np.clip(np.floor(level.min()), 0, height - 1))
    share = np.clip(np.arange(height) / max(horizon, 1), 0.0, 1.0)[:, None]
    column = weather.sky * (1.0 - share) + weather.haze * share  # (height, 3)
    return np.repeat(column[:, None].astype(np.uint8), width, axis=1), horizon


def _ground(view: View, ground: Ground, horizon: int) -> tuple[NDArray, NDArray]:
    """Colours of the rows from ``horizon`` down, (rows, width, 3) float32, and each row's depth at its middle."""
    width, height = view.size
    (fx, _, cx), (_, fy, cy) = view.intrinsics[0], view.intrinsics[1]
    rows = height - horizon
    v = (horizon + (np.arange(rows * SUBROWS) + 0.5) / SUBROWS - 0.5 - cy) / fy
    u = (np.arange(width) - cx) / fx
    rotation = view.world_from_camera[:3, :3].astype(np.float32)
    across, down = u.astype(np.float32)[None], v.astype(np.float32)[:, None]
    ray_x, ray_y, ray_z = (r[0] * across + (r[1] * down + r[2]) for r in rotation)
    eye = view.world_from_camera[:3, 3]
    depth = np.float32(eye[2]) / np.maximum(-ray_z, np.float32(eye[2] / FAR_M))  # to z = 0, along the optical axis
    res = ground.canvas.resolution_m
    x0, y0 = (eye[:2] - ground.canvas.origin) / res  # pixels, outer corner
    offset_x, offset_y = ray_x * depth / np.float32(res), ray_y * depth / np.float32(res)
    top = np.float32((eye[2] - KERB_M) / eye[2])  # the same ray meets z = kerb height this much earlier
    middle = depth[:, width // 2]
    footprint = np.sqrt(middle / fx * middle**2 / (eye[2] * fy * SUBROWS)) / res
    level = np.clip(np.floor(np.log2(np.maximum(footprint, 1.0)) + 0.4), 0, len(ground.levels) - 1).astype(int)
    picture = np.empty((rows * SUBROWS, width, 3), np.uint8)
    for k in np.unique(level):
        band = np.flatnonzero(level == k)
        part = slice(band[0], band[-1] + 1)
        scale = np.float32(0.5**k)
        pixel = [(base + shift[part]) * scale - np.float32(0.5) for base, shift in ((x0, offset_x), (y0, offset_y))]
        raised_pixel = [
            (base + shift[part] * top) * scale - np.float32(0.5) for base, shift in ((x0, offset_x), (y0, offset_y))
        ]
        picture[part] = _two_floors(ground, int(k), pixel, raised_pixel)
    squeezed = cv2.resize(picture, (width, rows), interpolation=cv2.INTER_AREA)
    return squeezed.astype(np.float32), np.minimum(middle.reshape(rows, SUBROWS).mean(1), FAR_M)


def _two_floors(ground: Ground, level: int, pixel: list[NDArray], raised_pixel: list[NDArray]) -> NDArray:
    """What a ray sees: raised ground if it meets that first, else the kerb's face, else the road."""
    image = ground.levels[level]
    low, high = (
        cv2.remap(
            image, *map(_as_map, at), cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=ground.outside
        )
        for at in (pixel, raised_pixel)
    )
    face_share = low[..., 3].astype(np.float32) / 255.0
    top_share = high[..., 3].astype(np.float32) / 255.0
    face = np.empty_like(low)
    face[:] = (98, 98, 100, 255)
    road = cv2.blendLinear(face, low, face_share, 1.0 - face_share)
    return cv2.blendLinear(high, road, top_share, 1.0 - top_share)[..., :3]


def _as_map(values: NDArray) -> NDArray:
    return np.ascontiguousarray(values, np.float32)


def _expose(image: NDArray, weather: Weather, rng: np.random.Generator) -> NDArray:
    """Exposure, white balance and sensor noise."""
    grey = np.arange(256)[:, None] / 255.0
    curve = 255.0 * np.clip(grey * weather.exposure * weather.tint, 0.0, 1.0) ** 0.92
    table = np.clip(curve, 0, 255).astype(np.uint8)[None]  # (1, 256, 3)
    image = cv2.LUT(image, table)
    grain = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(weather.noise)
    return cv2.add(image, grain, dtype=cv2.CV_8U)
