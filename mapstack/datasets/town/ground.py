"""The ground of one scene as a raster pyramid: colour, what is raised, and how well it reflects the laser."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from shapely import Polygon, box

from .boxes import CROWN, Boxes
from .canvas import Canvas
from .elements import DistrictMap
from .network import Road
from .paint import draw_paint, smooth_noise, wear_paint
from .weather import Weather

__all__ = ["KERB_M", "Ground", "build_ground"]

RESOLUTION_M = 0.05
MARGIN_M = 58.0
NUM_LEVELS = 6
KERB_M = 0.15
ASPHALT, GRASS, CONCRETE = np.array([92, 92, 94]), np.array([62, 104, 88]), np.array([142, 148, 152])
WHITE, YELLOW = np.array([222, 226, 226], np.float32), np.array([52, 168, 216], np.float32)
REFLECT_ASPHALT, REFLECT_GRASS, REFLECT_CONCRETE, REFLECT_KERB, REFLECT_PAINT = 9, 17, 24, 30, 100


@dataclass(frozen=True)
class Ground:
    """What lies under the sensors.

    Args:
        canvas: where the finest level lies.
        levels: (rows / 2^k, columns / 2^k, 4) uint8 each: blue, green, red, and 255 where the ground is raised.
        reflectance: (rows, columns) uint8, what the laser sees.
        outside: (4,) colour beyond the raster.
    """

    canvas: Canvas
    levels: list[NDArray]
    reflectance: NDArray
    outside: tuple[int, int, int, int]


def build_ground(
    district: DistrictMap, track: NDArray, standing: Boxes, weather: Weather, rng: np.random.Generator
) -> Ground:
    """Paint the surroundings of a drive.

    Args:
        district: streets and map elements.
        track: (M, 2) world metres, where the ego drives.
        standing: boxes that stand still, for their shadows.
        weather: light.
        rng: draws noise, patches and wear.
    """
    canvas = Canvas.around(track, MARGIN_M, RESOLUTION_M)
    grass = np.clip(GRASS * rng.uniform(0.75, 1.15) + rng.normal(0, 8, 3), 20, 200).astype(int)
    color, raised, reflectance = _surfaces(canvas, district, grass, rng)
    white, yellow = draw_paint(canvas, district, rng)
    noise = cv2.addWeighted(smooth_noise(rng, canvas.shape, 28.0), 0.6, smooth_noise(rng, canvas.shape, 3.0), 0.4, 0.0)
    for coverage, paint in ((white, WHITE), (yellow, YELLOW)):
        wear_paint(coverage, noise)
        where = np.flatnonzero(coverage)
        share = coverage.ravel()[where].astype(np.float32)[:, None] / 255.0
        flat = color.reshape(-1, 3)
        flat[where] = (flat[where] * (1.0 - share) + paint * share).astype(np.uint8)
        lit = reflectance.ravel()[where] + share[:, 0] * REFLECT_PAINT
        reflectance.ravel()[where] = np.minimum(lit, 255).astype(np.uint8)
    gain = _gain(canvas, district, standing, weather, rng)
    color = cv2.multiply(color, cv2.merge([gain, gain, gain]), scale=1.0 / 128.0)
    levels = [cv2.merge([*cv2.split(color), raised])]
    for _ in range(NUM_LEVELS - 1):
        rows, columns = levels[-1].shape[:2]
        levels.append(cv2.resize(levels[-1], (columns // 2, rows // 2), interpolation=cv2.INTER_AREA))
    return Ground(canvas, levels, reflectance, (*map(int, grass), 255))


def _surfaces(
    canvas: Canvas, district: DistrictMap, grass: NDArray, rng: np.random.Generator
) -> tuple[NDArray, NDArray, NDArray]:
    """Colour, raised mask and reflectance before paint."""
    color = np.empty((*canvas.shape, 3), np.uint8)
    color[:] = grass
    raised = np.full(canvas.shape, 255, np.uint8)
    reflectance = np.full(canvas.shape, REFLECT_GRASS, np.uint8)
    concrete = CONCRETE * rng.uniform(0.65, 1.15) + rng.normal(0, 6, 3)
    for sidewalk in district.sidewalks:
        rings = _rings([sidewalk])
        canvas.fill(color, rings, tuple(map(int, np.clip(concrete, 40, 215))))
        canvas.fill(reflectance, rings, REFLECT_CONCRETE)
    window = box(*canvas.bounds).buffer(3.0)
    drivable = [part.intersection(window) for part in district.drivable.geoms if part.intersects(window)]
    road_rings = _rings(drivable)
    kerb_rings = road_rings + _rings([part.buffer(0.24) for part in drivable])
    tones = [road.style for road in district.network.roads]
    kerb = int(np.clip(100 * np.mean([style.kerb_tone for style in tones]) * rng.uniform(0.85, 1.15), 60, 210))
    canvas.fill(color, kerb_rings, (kerb, kerb, kerb))
    canvas.fill(reflectance, kerb_rings, REFLECT_KERB)
    canvas.fill(raised, road_rings, 0)
    base = ASPHALT * rng.uniform(0.8, 1.2)
    canvas.fill(color, road_rings, tuple(map(int, base)))
    for style, outline in zip(tones, district.road_outlines, strict=True):
        canvas.fill(color, [outline], tuple(map(int, np.clip(base * style.tone, 40, 160))), smooth=False)
    for road, island in district.islands:
        tone = int(np.clip(110 * tones[road].kerb_tone, 60, 200))
        canvas.fill(color, [island], (tone, tone, tone))
        inner = Polygon(island).buffer(-0.3)
        canvas.fill(color, _rings([inner]), tuple(map(int, grass if road % 3 else concrete)))
        canvas.fill(reflectance, [island], REFLECT_KERB)
    on_road = raised < 128
    reflectance[on_road] = REFLECT_ASPHALT
    return color, raised, reflectance


def _rings(shapes: list) -> list[NDArray]:
    polygons = [part for shape in shapes for part in (getattr(shape, "geoms", None) or [shape]) if not part.is_empty]
    polygons = [polygon for polygon in polygons if polygon.geom_type == "Polygon"]
    return [np.asarray(ring.coords) for polygon in polygons for ring in (polygon.exterior, *polygon.interiors)]


def _gain(
    canvas: Canvas, district: DistrictMap, standing: Boxes, weather: Weather, rng: np.random.Generator
) -> NDArray:
    """Brightness relative to the plain surface, uint8 with 128 = 1: texture, repairs, tyre marks and shadows."""
    gain = np.full(canvas.shape, 128, np.uint8)
    for road, outline in zip(district.network.roads, district.road_outlines, strict=True):
        if canvas.sees(outline):
            _wear_road(canvas, gain, road, rng)
    gain = cv2.add(gain, _texture(canvas.shape, rng), dtype=cv2.CV_8U)
    if weather.shade < 1.0:
        shadow = np.zeros(canvas.shape, np.uint8)
        for outline in _shadows(standing, weather.shadow_per_m):
            canvas.fill(shadow, [outline], 255, smooth=False)
        shadow = cv2.blur(shadow, (5, 5))
        keep = cv2.convertScaleAbs(shadow, alpha=-(1.0 - weather.shade), beta=255.0)
        gain = cv2.multiply(gain, keep, scale=1.0 / 255.0)
    return gain


def _texture(shape: tuple[int, int], rng: np.random.Generator) -> NDArray:
    """Signed brightness noise, int16: grain and stains."""
    grain = rng.integers(-16, 17, (256, 256), dtype=np.int16)
    repeats = (shape[0] // 256 + 1, shape[1] // 256 + 1)
    stains = smooth_noise(rng, shape, 90.0).astype(np.int16) + smooth_noise(rng, shape, 9.0) // 2
    return np.tile(grain, repeats)[: shape[0], : shape[1]] + (stains - 190) // 8


def _wear_road(canvas: Canvas, gain: NDArray, road: Road, rng: np.random.Generator) -> None:
    """Tyre marks along the lanes, repaired patches, sealed cracks, manholes, the dirty gutter."""
    curve, half = road.curve, road.section.half_m
    for is_forward, count in ((True, road.section.forward), (False, road.section.backward)):
        for lane in range(count):
            middle, dark = road.section.lane_center(is_forward, lane), int(rng.integers(112, 128))
            for left in (middle - 0.75, middle + 0.75):
                canvas.band(gain, (curve.line(left - 0.22), curve.line(left + 0.22)), dark)
    for side in (1.0, -1.0):
        sides = curve.line(side * half), curve.line(side * (half - 0.35))
        canvas.band(gain, sides, int(rng.integers(104, 140)))
    for _ in range(rng.integers(1, 5)):
        start, left = rng.uniform(0.0, curve.length - 4.0), rng.uniform(-half, half - 1.0)
        end, right = min(start + rng.uniform(1.5, 12.0), curve.length), min(left + rng.uniform(0.8, 4.0), half)
        sides = curve.line(left, start, end), curve.line(right, start, end)
        canvas.band(gain, sides, int(rng.integers(92, 156)))
    for _ in range(rng.integers(0, 4)):
        start, left = rng.uniform(0.0, curve.length * 0.7), rng.uniform(-half, half)
        end = min(start + rng.uniform(5.0, 40.0), curve.length)
        sides = curve.line(left - 0.04, start, end), curve.line(left + 0.04, start, end)
        canvas.band(gain, sides, int(rng.choice([70, 85, 160])))
    for _ in range(rng.integers(0, 4)):
        x, y, yaw = curve.poses(np.array([rng.uniform(0.0, curve.length)]))[0]
        left, turn = rng.uniform(-half + 0.5, half - 0.5), np.linspace(0, 2 * np.pi, 13)[:-1]
        center = np.array([x - left * np.sin(yaw), y + left * np.cos(yaw)])
        canvas.fill(gain, [center + 0.33 * np.stack([np.cos(turn), np.sin(turn)], 1)], int(rng.integers(70, 100)))


def _shadows(standing: Boxes, shadow_per_m: NDArray) -> list[NDArray]:
    """(n, 2) outlines of the ground that each box shades; a crown's is round."""
    outlines, corners = [], standing.corners()
    turn = np.arange(8) * np.pi / 4
    octagon = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    for i in range(len(standing)):
        is_crown = standing.kind[i] == CROWN
        base = standing.center[i] + standing.half[i, 0] * octagon if is_crown else corners[i]
        low = base + shadow_per_m * (standing.z[i, 0] if is_crown else 0.0)
        high = base + shadow_per_m * standing.z[i, 1]
        outlines.append(cv2.convexHull(np.concatenate([low, high]).astype(np.float32))[:, 0].astype(float))
    return outlines
