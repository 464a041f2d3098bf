"""Roads with widths, and junctions between their stop lines: the geometry that every map and sensor shares."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from shapely import Polygon, STRtree

from mapstack.errors import DataError

from .curves import Curve, biarc, through
from .layout import Sketch
from .section import CrossSection, RoadStyle, draw_section, draw_style, narrowest_section

__all__ = ["DECIMALS", "Arm", "Junction", "Network", "Road", "build_network"]

MIN_ARM_ANGLE_RAD = np.radians(52.0)
FLAT_ANGLE_RAD = np.radians(150.0)
MIN_SETBACK_M = 8.0
MIN_ROAD_M = 32.0
CROSSING_MARGIN_M = 0.8  # between corner and crossing, and between crossing and stop line
CROSSING_SHARE, MID_BLOCK_SHARE = 0.85, 0.35  # of road ends, of roads
ATTEMPTS = 12
DECIMALS = 4


@dataclass(frozen=True)
class Arm:
    """One road's mouth at a junction.

    Args:
        road: index of the road.
        at_start: whether the road starts here.
        yaw: heading out of the junction.
        corner_m: distance from the node to where the corners begin.
        stop_m: distance from the node to the stop line, where the road proper begins.
        crossing: distances from the node between which people cross; None where they do not.
    """

    road: int
    at_start: bool
    yaw: float
    corner_m: float
    stop_m: float
    crossing: tuple[float, float] | None


@dataclass(frozen=True)
class Junction:
    """A node and its arms, counter-clockwise."""

    center: NDArray
    arms: list[Arm]


@dataclass(frozen=True)
class Road:
    """A road between two stop lines.

    Args:
        start: junction at the start of ``curve``.
        end: junction at its end.
        curve: middle of the carriageway.
        section: widths across.
        style: paint and surface.
        crossings: arc lengths (from, to) of mid-block crossings.
    """

    start: int
    end: int
    curve: Curve
    section: CrossSection
    style: RoadStyle
    crossings: list[tuple[float, float]]

    def mouth(self, at_start: bool) -> NDArray:
        """(n, 2) where kerbs and lane edges meet the stop line, from right to left looking along the road.

        Road, lanes and junction share these vertices to the last bit, so that their union has no slivers.
        """
        x, y, yaw = self.curve.poses(np.array([0.0 if at_start else self.curve.length]))[0]
        offsets = self.section.edges()
        return (np.array([x, y]) + offsets[:, None] * np.array([-np.sin(yaw), np.cos(yaw)])).round(DECIMALS)

    def outline(self) -> NDArray:
        """(n, 2) kerb-to-kerb polygon, counter-clockwise, last vertex not repeated."""
        right, left = (self.curve.line(side * self.section.half_m).round(DECIMALS) for side in (-1.0, 1.0))
        start, end = self.mouth(True), self.mouth(False)
        return np.concatenate([end, left[-2:0:-1], start[::-1], right[1:-1]])


@dataclass(frozen=True)
class Network:
    """The streets of one district."""

    junctions: list[Junction]
    roads: list[Road]

    def corner(self, junction: Junction, i: int) -> NDArray:
        """(n, 2) kerb between the straight parts of arm ``i``, on its left, and of the next arm, on its right."""
        arm, following = junction.arms[i], junction.arms[(i + 1) % len(junction.arms)]
        left = self.mouth(junction, arm, arm.corner_m)[1]
        right = self.mouth(junction, following, following.corner_m)[0]
        bend = biarc((*left, arm.yaw + np.pi), (*right, following.yaw))
        return bend.poses(bend.stations(0.0, bend.length))[:, :2]

    def mouth(self, junction: Junction, arm: Arm, distance_m: float) -> NDArray:
        """(2, 2) right and left kerb, looking outwards, ``distance_m`` from the node."""
        half = self.roads[arm.road].section.half_m
        forward = np.array([np.cos(arm.yaw), np.sin(arm.yaw)])
        normal = np.array([-forward[1], forward[0]])
        return junction.center + distance_m * forward + np.array([[-half], [half]]) * normal

    def outline(self, junction: Junction) -> NDArray:
        """(n, 2) polygon between the stop lines, counter-clockwise, last vertex not repeated."""
        parts = []
        for i, arm in enumerate(junction.arms):
            mouth = self.roads[arm.road].mouth(arm.at_start)  # right to left looking out of the junction
            parts += [mouth if arm.at_start else mouth[::-1], self.corner(junction, i).round(DECIMALS)]
        return np.concatenate(parts)


def build_network(sketch: Sketch, rng: np.random.Generator) -> Network:
    """Give a street plan widths, curves and crossings, narrowing roads that do not fit.

    Raises:
        DataError: no attempt fits; another seed will.
    """
    sections = [draw_section(rng) for _ in sketch.streets]
    styles = [draw_style(rng) for _ in sketch.streets]
    yaws = _arm_yaws(sketch, rng)
    has_crossing = rng.random((len(sketch.streets), 2)) < CROSSING_SHARE
    crossing_m = rng.uniform(2.6, 4.6, (len(sketch.streets), 2))
    for _ in range(ATTEMPTS):
        junctions = _junctions(sketch, sections, yaws, np.where(has_crossing, crossing_m, 0.0))
        roads, misfits = _roads(sketch, junctions, sections, styles)
        if not misfits:
            network = Network(junctions, [replace(road, crossings=_mid_block(road, rng)) for road in roads])
            misfits = _overlaps(network)
            if not misfits:
                return network
        for i in misfits:
            if sections[i] == narrowest_section():
                has_crossing[i] = False
            sections[i] = narrowest_section()
    raise DataError(f"a district of {len(sketch.streets)} streets does not fit its widths; try another town seed")


def _arm_yaws(sketch: Sketch, rng: np.random.Generator) -> NDArray:
    """(streets, 2) headings out of the two junctions, pushed apart to at least ``MIN_ARM_ANGLE_RAD``."""
    yaws = np.zeros((len(sketch.streets), 2))
    at_junction: list[list[tuple[int, int]]] = [[] for _ in sketch.junctions]
    for i, (start, end, way) in enumerate(sketch.streets):
        for side, (junction, nearest) in enumerate(((start, way[0]), (end, way[-1]))):
            toward = nearest[:2] - sketch.junctions[junction]
            yaws[i, side] = np.arctan2(toward[1], toward[0]) + rng.normal(0.0, 0.16)
            at_junction[junction].append((i, side))
    for arms in at_junction:
        rows, sides = np.array(arms).T
        for _ in range(60):
            order = np.argsort(yaws[rows, sides] % (2 * np.pi))
            rows, sides = rows[order], sides[order]
            angles = np.diff(yaws[rows, sides] % (2 * np.pi), append=yaws[rows[0], sides[0]] % (2 * np.pi) + 2 * np.pi)
            push = np.maximum(MIN_ARM_ANGLE_RAD - angles, 0.0) / 2.0
            yaws[rows, sides] += np.roll(push, 1) - push
    return yaws


def _junctions(sketch: Sketch, sections: list[CrossSection], yaws: NDArray, crossing_m: NDArray) -> list[Junction]:
    junctions = []
    for j, center in enumerate(sketch.junctions):
        arms = [(i, side) for i, street in enumerate(sketch.streets) for side in (0, 1) if street[side] == j]
        arms.sort(key=lambda arm: yaws[arm] % (2 * np.pi))
        yaw = np.array([yaws[arm] for arm in arms])
        half = np.array([sections[i].half_m for i, _ in arms])
        to_next = (np.roll(yaw, -1) - yaw) % (2 * np.pi)
        needed = _setback(half, np.roll(half, -1), to_next)
        to_previous = np.roll(to_next, 1)
        corner = np.maximum(needed, _setback(half, np.roll(half, 1), to_previous))
        built = []
        for k, (i, side) in enumerate(arms):
            width = crossing_m[i, side]
            first = corner[k] + CROSSING_MARGIN_M
            crossing = (first, first + width) if width else None
            stop = first + width + CROSSING_MARGIN_M if width else corner[k] + CROSSING_MARGIN_M
            built.append(Arm(i, side == 0, float(yaw[k]), float(corner[k]), float(stop), crossing))
        junctions.append(Junction(center, built))
    return junctions


def _setback(half: NDArray, other: NDArray, angle: NDArray) -> NDArray:
    """How far from the node an arm's corner must begin so that its kerb meets the neighbour's in a curve."""
    radius = np.clip(9.0 - half / 3.0, 4.5, 7.0)
    is_flat = angle > FLAT_ANGLE_RAD
    safe = np.where(is_flat, np.pi / 2, angle)
    meet = (other + half * np.cos(safe)) / np.sin(safe) + radius / np.tan(safe / 2.0)
    return np.maximum(np.where(is_flat, MIN_SETBACK_M + 1.5 * np.abs(half - other), meet), MIN_SETBACK_M)


def _roads(
    sketch: Sketch, junctions: list[Junction], sections: list[CrossSection], styles: list[RoadStyle]
) -> tuple[list[Road], list[int]]:
    """Roads between the stop lines, and which of them are too short or too tightly bent."""
    ends = {(arm.road, arm.at_start): (j.center, arm) for j in junctions for arm in j.arms}
    roads, misfits = [], []
    for i, (start, end, way) in enumerate(sketch.streets):
        (center_a, arm_a), (center_b, arm_b) = ends[i, True], ends[i, False]
        first = center_a + arm_a.stop_m * np.array([np.cos(arm_a.yaw), np.sin(arm_a.yaw)])
        last = center_b + arm_b.stop_m * np.array([np.cos(arm_b.yaw), np.sin(arm_b.yaw)])
        clear = [pose for pose in way if min(np.hypot(*(pose[:2] - first)), np.hypot(*(pose[:2] - last))) > 18.0]
        poses = [(*first, arm_a.yaw), *map(tuple, clear), (*last, arm_b.yaw + np.pi)]
        curve = through(poses)
        half = sections[i].half_m
        is_tight = np.abs(curve.curvatures).max() * (half + 5.0) > 1.0
        if curve.length < MIN_ROAD_M or is_tight:
            misfits.append(i)
        roads.append(Road(start, end, curve, sections[i], styles[i], []))
    return roads, misfits


def _overlaps(network: Network) -> list[int]:
    """Roads that run into another road, or into a junction that is not theirs."""
    shapes = [Polygon(road.outline()).buffer(2.0) for road in network.roads]
    shapes += [Polygon(network.outline(junction)) for junction in network.junctions]
    count, tree, bad = len(network.roads), STRtree(shapes), set()
    for i, road in enumerate(network.roads):
        if not Polygon(road.outline()).is_valid:
            bad.add(i)
        for k in tree.query(shapes[i], predicate="intersects"):
            if k >= count and k - count not in (road.start, road.end):
                bad.add(i)
            elif k < count and k != i and shapes[i].buffer(-2.0).intersects(shapes[k]):
                bad.add(i)
    for k, junction in enumerate(network.junctions):
        if not shapes[count + k].is_valid:
            bad.update(arm.road for arm in junction.arms)
    return sorted(bad)


def _mid_block(road: Road, rng: np.random.Generator) -> list[tuple[float, float]]:
    """A crossing about the middle of some roads."""
    start = float(rng.uniform(0.35, 0.65)) * road.curve.length
    width = float(rng.uniform(2.8, 4.4))
    wanted = rng.random() < MID_BLOCK_SHARE and road.curve.length > 50.0
    return [(start, start + width)] if wanted else []
