"""Road paint: lines, crossings, stop bars, arrows, and the wear that eats them."""

import cv2
import numpy as np
from numpy.typing import NDArray

from .canvas import Canvas
from .elements import Crossing, DistrictMap, PaintedLine
from .network import Road

__all__ = ["draw_paint", "smooth_noise", "wear_paint"]

DOUBLE_GAP_M = 0.12
EDGE_LINE_M = 0.35
ARROW_BEFORE_STOP_M = 9.0
ARROW = np.array([[0, 0.09], [2.2, 0.09], [2.2, 0.35], [3.4, 0], [2.2, -0.35], [2.2, -0.09], [0, -0.09]])


def draw_paint(canvas: Canvas, district: DistrictMap, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """White and yellow paint as coverage rasters, uint8, dimmer where the road's paint is worn."""
    white, yellow = np.zeros(canvas.shape, np.uint8), np.zeros(canvas.shape, np.uint8)
    roads = district.network.roads
    visible = [canvas.sees(outline) for outline in district.road_outlines]
    for line in district.lines:
        if visible[line.road]:
            _draw_line(canvas, yellow if "YELLOW" in line.style else white, line, roads[line.road], rng)
    for road, is_visible in zip(roads, visible, strict=True):
        if is_visible and road.style.has_edge_lines:
            half = road.section.half_m - EDGE_LINE_M
            for left in (half, -half):
                sides = road.curve.line(left - 0.06), road.curve.line(left + 0.06)
                canvas.band(white, sides, _strength(road, rng))
    for crossing in district.crossings:
        if canvas.sees(crossing.outline):
            _draw_crossing(canvas, white, crossing, roads[crossing.road], rng)
    for stop in district.stop_lines:
        canvas.fill(white, [stop.outline], _strength(roads[stop.road], rng))
    _draw_arrows(canvas, white, district, rng)
    return white, yellow


def wear_paint(coverage: NDArray, noise: NDArray) -> None:
    """Rub paint off in place, where the noise (uint8) is high and the coverage low."""
    where = np.flatnonzero(coverage)
    strength = coverage.ravel()[where].astype(np.float32) - 0.8 * noise.ravel()[where].astype(np.float32)
    coverage.ravel()[where] = np.clip(2.6 * strength, 0, 235).astype(np.uint8)


def _strength(road: Road, rng: np.random.Generator) -> int:
    """Coverage 255 for new paint, down to about 100; a stroke differs a little from the next."""
    return int(np.clip(255 - 165 * road.style.wear + rng.normal(0.0, 10.0), 70, 255))


def _draw_line(canvas: Canvas, image: NDArray, line: PaintedLine, road: Road, rng: np.random.Generator) -> None:
    half = road.style.line_m / 2.0
    if line.style == "DOUBLE_SOLID_YELLOW":
        offsets = [line.left_m - DOUBLE_GAP_M / 2 - half, line.left_m + DOUBLE_GAP_M / 2 + half]
    else:
        offsets = [line.left_m]
    start, end = line.span
    if line.style.startswith("DASHED"):
        period = road.style.dash_m + road.style.gap_m
        starts = np.arange(start - rng.uniform(0.0, period), end, period)
        strokes = [(max(s, start), min(s + road.style.dash_m, end)) for s in starts]
        strokes = [stroke for stroke in strokes if stroke[1] - stroke[0] > 0.3] + line.solid
    else:
        strokes = [(start, end)]
    for stroke in strokes:
        is_lost = line.style.startswith("DASHED") and rng.random() < 0.35 * road.style.wear
        for left in () if is_lost else offsets:
            sides = road.curve.line(left - half, *stroke), road.curve.line(left + half, *stroke)
            canvas.band(image, sides, _strength(road, rng))


def _draw_crossing(canvas: Canvas, image: NDArray, crossing: Crossing, road: Road, rng: np.random.Generator) -> None:
    """Zebra bars along the road, a ladder, or two lines across."""
    (a, b), (c, d) = crossing.edges
    kind = rng.choice(["zebra", "ladder", "lines"], p=[0.55, 0.2, 0.25])
    width = float(np.hypot(*(b - a)))
    if kind != "lines":
        bar_m = rng.uniform(0.38, 0.6)
        for start in np.arange(0.25, width - bar_m, 2 * bar_m):
            t0, t1 = start / width, (start + bar_m) / width
            bar = np.stack([a + t0 * (b - a), a + t1 * (b - a), c + t1 * (d - c), c + t0 * (d - c)])
            canvas.fill(image, [bar], _strength(road, rng))
    if kind != "zebra":
        depth = float(np.hypot(*(c - a)))
        for low, high in ((0.0, 0.22 / depth), (1.0 - 0.22 / depth, 1.0)):
            bar = np.stack([a + low * (c - a), b + low * (d - b), b + high * (d - b), a + high * (c - a)])
            canvas.fill(image, [bar], _strength(road, rng))


def _draw_arrows(canvas: Canvas, image: NDArray, district: DistrictMap, rng: np.random.Generator) -> None:
    for lane in district.lanes:
        road = district.network.roads[lane.road]
        is_painted = rng.random() < 0.5 and road.section.forward + road.section.backward > 2
        if is_painted and lane.curve.length > 30.0:
            x, y, yaw = lane.curve.poses(np.array([lane.curve.length - ARROW_BEFORE_STOP_M]))[0]
            cos, sin = np.cos(yaw), np.sin(yaw)
            canvas.fill(image, [ARROW @ np.array([[cos, sin], [-sin, cos]]) + [x, y]], _strength(road, rng))


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cell_px: float) -> NDArray:
    """uint8 noise whose blobs are about ``cell_px`` wide."""
    rows, columns = (int(np.ceil(size / cell_px)) + 2 for size in shape)
    coarse = rng.integers(0, 256, (rows, columns), dtype=np.uint8)
    return cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_LINEAR)
