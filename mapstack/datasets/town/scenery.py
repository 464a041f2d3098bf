"""What stands beside the streets: buildings, hedges, trees, poles."""

import numpy as np
import shapely
from shapely import Polygon, STRtree

from .boxes import BUILDING, CROWN, HEDGE, POLE, Boxes
from .elements import DistrictMap
from .network import Road

__all__ = ["build_scenery"]

KERB_M = 0.15
TREE_GREENS = np.array([[40, 92, 58], [52, 105, 74], [38, 80, 70], [48, 120, 96]], float)
WALLS = np.array(
    [[150, 160, 172], [112, 128, 168], [120, 140, 150], [178, 186, 192], [98, 100, 104], [92, 124, 178]], float
)


def build_scenery(district: DistrictMap, rng: np.random.Generator) -> Boxes:
    """Set buildings, hedges, trees and poles along every road, none of them on the carriageway."""
    keep_off = district.drivable
    shapely.prepare(keep_off)
    houses, street = [], []
    for road in district.network.roads:
        for side in (1.0, -1.0):
            houses += _house_row(road, side, rng)
            street += _street_row(road, side, rng)
    buildings = _without_clashes(Boxes.make(houses, BUILDING), keep_off)
    return Boxes.join([buildings, *_street_furniture(street, keep_off, rng)])


def _along(road: Road, at_m: float, left_m: float) -> tuple[float, float, float]:
    x, y, yaw = road.curve.poses(np.array([at_m]))[0]
    return x - left_m * np.sin(yaw), y + left_m * np.cos(yaw), yaw


def _house_row(road: Road, side: float, rng: np.random.Generator) -> list[tuple]:
    rows, at = [], float(rng.uniform(-12.0, 5.0))
    edge = road.section.half_m + road.style.sidewalk_m
    while at < road.curve.length + 12.0:
        length, depth = rng.uniform(7.0, 22.0), rng.uniform(7.0, 13.0)
        setback = edge + rng.uniform(0.8, 6.0)
        is_fence = rng.random() < 0.18
        if is_fence:
            depth, setback = 0.5, edge + rng.uniform(0.3, 1.2)
        x, y, yaw = _along(road, at + length / 2, side * (setback + depth / 2))
        top = KERB_M + (rng.uniform(0.8, 1.6) if is_fence else rng.uniform(3.5, 16.0))
        color = WALLS[rng.integers(len(WALLS))] * rng.uniform(0.7, 1.15) + rng.normal(0.0, 8.0, 3)
        color = TREE_GREENS[rng.integers(len(TREE_GREENS))] if is_fence else color
        if rng.random() < 0.85:
            rows.append((x, y, yaw, length / 2, depth / 2, KERB_M, top, *np.clip(color, 25, 225)))
        at += length + rng.choice([0.2, 2.0, 6.0, 14.0]) * rng.uniform(0.6, 1.4)
    return rows


def _without_clashes(houses: Boxes, keep_off: Polygon) -> Boxes:
    """Drop houses that touch the road's margin or an earlier house."""
    shapes = shapely.polygons(houses.corners())
    free = shapely.distance(shapes, keep_off) > 1.6
    tree, kept = STRtree(shapes), []
    taken = np.zeros(len(houses), bool)
    for i in np.flatnonzero(free):
        if not taken[tree.query(shapes[i], predicate="intersects")].any():
            taken[i] = True
            kept.append(i)
    kept_boxes = houses[np.array(kept, int)]
    kept_boxes.kind[kept_boxes.z[:, 1] < 2.0] = HEDGE
    return kept_boxes


def _street_row(road: Road, side: float, rng: np.random.Generator) -> list[tuple]:
    """(x, y, yaw, is_tree) of what stands on the outer or inner edge of a sidewalk."""
    spacing, is_tree_lined = rng.uniform(8.0, 24.0), rng.random() < 0.55
    at, rows = float(rng.uniform(0.0, spacing)), []
    while at < road.curve.length:
        left_m = side * (road.section.half_m + rng.uniform(0.6, 1.1))
        rows.append((*_along(road, at, left_m), is_tree_lined and rng.random() < 0.8))
        at += spacing * rng.uniform(0.7, 1.4)
    return rows


def _street_furniture(rows: list[tuple], keep_off: Polygon, rng: np.random.Generator) -> list[Boxes]:
    places = np.array(rows, float).reshape(-1, 4)
    places = places[shapely.distance(shapely.points(places[:, :2]), keep_off) > 0.45]
    poles, crowns = [], []
    for x, y, yaw, is_tree in places:
        if is_tree:
            radius, low, high = rng.uniform(1.0, 2.2), rng.uniform(1.8, 2.8), rng.uniform(4.5, 7.5)
            trunk = rng.uniform(0.09, 0.2)
            poles.append((x, y, yaw, trunk, trunk, KERB_M, low + 0.5, 48, 60, 72))
            green = TREE_GREENS[rng.integers(len(TREE_GREENS))] * rng.uniform(0.8, 1.2)
            crowns.append((x, y, yaw, radius, radius, low, high, *green))
        else:
            poles.append((x, y, yaw, 0.08, 0.08, KERB_M, rng.uniform(2.6, 7.5), 118, 120, 122))
    return [Boxes.make(poles, POLE), Boxes.make(crowns, CROWN)]
