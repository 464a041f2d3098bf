"""The map elements of a district: lanes, connectors, painted lines, crossings, stop lines, islands, sidewalks."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon, union_all

from .connectors import connect
from .curves import Curve
from .network import DECIMALS, Junction, Network, Road

__all__ = ["Connector", "Crossing", "DistrictMap", "Lane", "PaintedLine", "StopLine", "build_map"]

CROSSING_CLEAR_M = 0.5  # lines end this far before a mid-block crossing
ISLAND_END_M = 1.5
ISLAND_CLEAR_M = 1.0
STOP_LINE_M = (0.15, 0.5)
CENTER_MARKS = {"DOUBLE_SOLID": "DOUBLE_SOLID_YELLOW", "SINGLE_SOLID": "SOLID_YELLOW", "DASHED": "DASHED_YELLOW"}


@dataclass(frozen=True)
class Lane:
    """A lane between two stop lines; everything in driving order.

    Args:
        road: index of its road.
        is_forward: whether it runs along the road's curve.
        rank: 0 at the kerb.
        curve: centerline.
        left: (n, 2) left edge.
        right: (n, 2) right edge.
        left_mark: paint on the left edge, in Argoverse 2's words.
        right_mark: paint on the right edge.
        left_neighbor: lane across the left edge, or None; it may run the other way.
        right_neighbor: lane across the right edge, or None.
    """

    road: int
    is_forward: bool
    rank: int
    curve: Curve
    left: NDArray
    right: NDArray
    left_mark: str
    right_mark: str
    left_neighbor: int | None
    right_neighbor: int | None


@dataclass(frozen=True)
class Connector:
    """A way through a junction, from the end of one lane to the start of another."""

    junction: int
    from_lane: int
    to_lane: int
    curve: Curve
    half_m: tuple[float, float]  # half the width at the start and at the end

    def edge(self, side: int) -> NDArray:
        """(n, 2) left (side 1) or right (side -1) edge."""
        stations = self.curve.stations(0.0, self.curve.length)
        poses = self.curve.poses(stations)
        half = np.interp(stations, [0.0, self.curve.length], self.half_m)[:, None]
        return poses[:, :2] + side * half * np.stack([-np.sin(poses[:, 2]), np.cos(poses[:, 2])], axis=1)


@dataclass(frozen=True)
class PaintedLine:
    """A divider as it is painted.

    Args:
        layer: lane_divider or road_divider.
        road: index of its road.
        left_m: offset from the road's curve.
        span: arc lengths on the road's curve between which it runs.
        solid: parts of the span that are solid where the rest is dashed.
        style: DASHED_WHITE, SOLID_WHITE, DASHED_YELLOW, SOLID_YELLOW or DOUBLE_SOLID_YELLOW.
    """

    layer: str
    road: int
    left_m: float
    span: tuple[float, float]
    solid: list[tuple[float, float]]
    style: str


@dataclass(frozen=True)
class Crossing:
    """A pedestrian crossing, kerb to kerb.

    Args:
        edges: (2, 2, 2) its two long edges, walked the same way.
        road: index of the road it crosses.
        junction: junction it lies in; None for a mid-block one.
    """

    edges: NDArray
    road: int
    junction: int | None

    @property
    def outline(self) -> NDArray:
        """(4, 2), last vertex not repeated."""
        return np.concatenate([self.edges[0], self.edges[1][::-1]])


@dataclass(frozen=True)
class StopLine:
    """The bar before a junction: (4, 2) outline, with the road it ends and the junction it guards."""

    outline: NDArray
    road: int
    junction: int
    at_start: bool


@dataclass(frozen=True)
class DistrictMap:
    """All elements of one district; indices refer to lists of the same district."""

    network: Network
    lanes: list[Lane]
    connectors: list[Connector]
    lines: list[PaintedLine]
    crossings: list[Crossing]
    stop_lines: list[StopLine]
    islands: list[tuple[int, NDArray]]  # road, (n, 2) outline
    road_outlines: list[NDArray]
    junction_outlines: list[NDArray]
    drivable: MultiPolygon = field(repr=False)
    sidewalks: list[Polygon] = field(repr=False)


def build_map(network: Network) -> DistrictMap:
    """Derive every element from the streets."""
    lanes = [lane for i, road in enumerate(network.roads) for lane in _lanes(i, road)]
    lanes = _with_neighbors(lanes)
    islands = [(i, outline) for i, road in enumerate(network.roads) for outline in _islands(road)]
    roads = [road.outline() for road in network.roads]
    junctions = [network.outline(junction) for junction in network.junctions]
    whole = union_all([Polygon(outline) for outline in roads + junctions])
    drivable = whole.difference(union_all([Polygon(outline) for _, outline in islands]))
    return DistrictMap(
        network=network,
        lanes=lanes,
        connectors=[Connector(*found) for found in connect(network, lanes)],
        lines=[line for i, road in enumerate(network.roads) for line in _lines(i, road)],
        crossings=_crossings(network),
        stop_lines=_stop_lines(network),
        islands=islands,
        road_outlines=roads,
        junction_outlines=junctions,
        drivable=drivable if isinstance(drivable, MultiPolygon) else MultiPolygon([drivable]),
        sidewalks=_sidewalks(network, roads, junctions, whole),
    )


def _lanes(index: int, road: Road) -> list[Lane]:
    section, lanes = road.section, []
    middle = sum(section.median) / 2.0
    at_kerb = {True: not section.parking_right_m, False: not section.parking_left_m}
    for is_forward, count in ((True, section.forward), (False, section.backward)):
        edges = section.lane_edges(is_forward)
        if section.has_painted_median:
            edges = np.concatenate([edges[:-1], [middle]])
        for rank in range(count):
            inner, outer = (road.curve.line(edges[k]).round(DECIMALS) for k in (rank + 1, rank))
            curve = road.curve.offset(section.lane_center(is_forward, rank))
            is_inner = rank == count - 1
            edge_mark = "SOLID_WHITE" if road.style.has_edge_lines and at_kerb[is_forward] else "NONE"
            is_one_way_edge = section.backward == 0 and road.style.has_edge_lines and at_kerb[False]
            inner_mark = "SOLID_WHITE" if is_one_way_edge else "NONE"
            inner_mark = CENTER_MARKS[road.style.divider] if section.has_painted_median else inner_mark
            if not is_forward:
                inner, outer, curve = inner[::-1], outer[::-1], curve.reversed()
            left_mark = inner_mark if is_inner else "DASHED_WHITE"
            right_mark = edge_mark if rank == 0 else "DASHED_WHITE"
            lanes.append(Lane(index, is_forward, rank, curve, inner, outer, left_mark, right_mark, None, None))
    return lanes


def _with_neighbors(lanes: list[Lane]) -> list[Lane]:
    index = {(lane.road, lane.is_forward, lane.rank): i for i, lane in enumerate(lanes)}
    counts = {key[:2]: 0 for key in index}
    for key in index:
        counts[key[:2]] += 1
    result = []
    for lane in lanes:
        left = index.get((lane.road, lane.is_forward, lane.rank + 1))
        if left is None and "YELLOW" in lane.left_mark:
            left = index[lane.road, not lane.is_forward, counts[lane.road, not lane.is_forward] - 1]
        right = index.get((lane.road, lane.is_forward, lane.rank - 1))
        result.append(Lane(**{**lane.__dict__, "left_neighbor": left, "right_neighbor": right}))
    return result


def _clear_spans(road: Road, clear_m: float) -> list[tuple[float, float]]:
    """Arc lengths of a road outside its mid-block crossings."""
    spans, start = [], 0.0
    for low, high in road.crossings:
        spans.append((start, low - clear_m))
        start = high + clear_m
    return [*spans, (start, road.curve.length)]


def _lines(index: int, road: Road) -> list[PaintedLine]:
    section, style, lines = road.section, road.style, []
    spans = _clear_spans(road, CROSSING_CLEAR_M)
    length = road.curve.length
    for is_forward in (True, False):
        solid_m = min(style.solid_m, 0.4 * length)
        solid = (length - solid_m, length) if is_forward else (0.0, solid_m)
        for offset in section.lane_edges(is_forward)[1:-1]:
            parts = [[(max(low, solid[0]), min(high, solid[1]))] for low, high in spans]
            parts = [[part for part in each if part[1] - part[0] > 0.5] for each in parts]
            lines += [
                PaintedLine("lane_divider", index, float(offset), span, part, "DASHED_WHITE")
                for span, part in zip(spans, parts, strict=True)
            ]
    if section.has_painted_median:
        middle = sum(section.median) / 2.0
        lines += [PaintedLine("road_divider", index, middle, span, [], CENTER_MARKS[style.divider]) for span in spans]
    return lines


def _islands(road: Road) -> list[NDArray]:
    """Outlines of the raised median, pointed a little at the ends, clockwise."""
    if not road.section.has_raised_median:
        return []
    right, left = road.section.median
    tip, outlines = (left - right) / 2.0, []
    for low, high in _clear_spans(road, ISLAND_CLEAR_M):
        low, high = low + ISLAND_END_M, high - ISLAND_END_M
        if high - low < 6.0:
            continue
        body = road.curve.line(left, low + tip, high - tip), road.curve.line(right, low + tip, high - tip)[::-1]
        ends = road.curve.line((left + right) / 2.0, low, high)[[0, -1]]
        outlines.append(np.concatenate([ends[:1], body[0], ends[1:], body[1]]))
    return outlines


def _crossings(network: Network) -> list[Crossing]:
    found = []
    for j, junction in enumerate(network.junctions):
        for arm in junction.arms:
            if arm.crossing:
                edges = np.stack([network.mouth(junction, arm, distance) for distance in arm.crossing])
                found.append(Crossing(edges, arm.road, j))
    for i, road in enumerate(network.roads):
        half = road.section.half_m
        for span in road.crossings:
            found.append(Crossing(np.stack([_across(road, at, -half, half) for at in span]), i, None))
    return found


def _across(road: Road, at_m: float, right_m: float, left_m: float) -> NDArray:
    """(2, 2) points right and left on the cross-section at one arc length."""
    x, y, yaw = road.curve.poses(np.array([at_m]))[0]
    return np.array([x, y]) + np.array([[right_m], [left_m]]) * np.array([-np.sin(yaw), np.cos(yaw)])


def _stop_lines(network: Network) -> list[StopLine]:
    found = []
    for i, road in enumerate(network.roads):
        for at_start, junction in ((True, road.start), (False, road.end)):
            is_forward = not at_start
            edges = road.section.lane_edges(is_forward)
            if len(edges) < 2 or not _has_stop_line(network.junctions[junction], i, at_start):
                continue
            low, high = STOP_LINE_M if at_start else (road.curve.length - m for m in STOP_LINE_M[::-1])
            near, far = (_across(road, at, min(edges), max(edges)) for at in (low, high))
            found.append(StopLine(np.concatenate([near, far[::-1]]), i, junction, at_start))
    return found


def _has_stop_line(junction: Junction, road: int, at_start: bool) -> bool:
    arm = next(arm for arm in junction.arms if arm.road == road and arm.at_start == at_start)
    return arm.crossing is not None or road % 2 == 0


def _sidewalks(network: Network, roads: list[NDArray], junctions: list[NDArray], whole: Polygon) -> list[Polygon]:
    """Strips along the kerbs, as wide as each road's style says; a junction takes the widest of its roads."""
    wide = [Polygon(outline).buffer(road.style.sidewalk_m) for road, outline in zip(network.roads, roads, strict=True)]
    for junction, outline in zip(network.junctions, junctions, strict=True):
        width = max(network.roads[arm.road].style.sidewalk_m for arm in junction.arms)
        wide.append(Polygon(outline).buffer(width))
    strip = union_all(wide).simplify(0.03).difference(whole)
    return list(strip.geoms) if isinstance(strip, MultiPolygon) else [strip]
