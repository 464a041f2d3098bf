"""Which lines of a map are dividers, crossings, boundaries and centerlines: the named rules, worked out once per map.

docs/GROUND_TRUTH.md says what each rule means, whom it follows and where it differs.
"""

from collections.abc import Callable, Mapping

import numpy as np
import shapely
from numpy.typing import NDArray

from .chains import chain_directed, chain_undirected, drop_twins, snapped
from .layers import CENTERLINES, CROSSINGS, DIVIDER_LAYERS, LANE_BOUNDARIES, OUTLINES, SURFACES, MapLayer
from .polygons import oriented_rings, outer_and_inner, unite, unite_parallel

__all__ = [
    "CROSSING_RULES",
    "DIVIDER_RULES",
    "boundary_lines",
    "centerline_lines",
    "crossing_polygons",
    "divider_lines",
]

UNPAINTED = (None, "NONE", "UNKNOWN")
OVERLAP_BUFFER_M = 0.3  # StreamMapNet's half width and share for "the same line"
OVERLAP_SHARE = 0.2

Polygons = Callable[[str], NDArray]  # layer name -> its repaired polygons


def divider_lines(layers: Mapping[str, MapLayer], rule: str, boundaries: NDArray) -> NDArray:
    """Dividers by a rule of :data:`DIVIDER_RULES`.

    Lines that the source calls dividers are taken one by one, as every published extractor does; lane boundaries are
    chosen by the rule, freed of duplicates and chained.

    Args:
        layers: of the map.
        rule: name.
        boundaries: (M,) the map's road boundary; ``painted`` leaves out what runs along it.

    Returns:
        (N,) LineStrings, world metres.
    """
    if rule not in DIVIDER_RULES:
        raise ValueError(f"unknown divider rule {rule!r}; choose one of {', '.join(DIVIDER_RULES)}")
    given = [layers[name].geometries for name in DIVIDER_LAYERS if name in layers]
    if LANE_BOUNDARIES in layers and len(layers[LANE_BOUNDARIES]):
        given.append(DIVIDER_RULES[rule](layers[LANE_BOUNDARIES], boundaries))
    return np.concatenate(given) if given else np.zeros(0, dtype=object)


def maptrv2(lanes: MapLayer, boundaries: NDArray) -> NDArray:
    """What MapTRv2 publishes: sides with a neighbour, outside intersections, and two slips of its code with them.

    First a side is dropped whose lane is the left neighbour of any lane, then a left side whose lane is a right
    neighbour. Last, a line that two opposite lanes both hold as their left is lost (there: a cycle without a root).
    """
    side, lane, neighbour = lanes.column("side"), lanes.column("lane"), lanes.column("neighbour")
    chosen = _beside_a_lane(lanes)
    left = {lane[i]: i for i in chosen if side[i] == "left"}
    right = {lane[i]: i for i in chosen if side[i] == "right"}
    for i in left.values():
        right.pop(neighbour[i], None)
    for i in right.values():
        left.pop(neighbour[i], None)
    lines = [_without_reversed_twins(lanes.geometries[list(sides.values())]) for sides in (left, right)]
    return chain_undirected(drop_twins(np.concatenate(lines)))


def neighbour(lanes: MapLayer, boundaries: NDArray) -> NDArray:
    """The same idea without the slips: every side with a neighbour, outside intersections, once."""
    return chain_undirected(drop_twins(lanes.geometries[_beside_a_lane(lanes)]))


def painted(lanes: MapLayer, boundaries: NDArray) -> NDArray:
    """StreamMapNet's: every painted side, intersections included, that does not run along the road boundary."""
    marks = lanes.column("mark")
    lines = drop_twins(lanes.geometries[[mark not in UNPAINTED for mark in marks]])
    return chain_undirected(_without_overlaps(lines, boundaries))


DIVIDER_RULES: dict[str, Callable[[MapLayer, NDArray], NDArray]] = {
    "maptrv2": maptrv2,
    "painted": painted,
    "neighbour": neighbour,
}


def _beside_a_lane(lanes: MapLayer) -> list[int]:
    rows = zip(lanes.column("neighbour"), lanes.column("is_intersection"), strict=True)
    return [i for i, (other, inside) in enumerate(rows) if other is not None and not inside]


def _without_reversed_twins(lines: NDArray) -> NDArray:
    coords = [tuple(map(tuple, snapped(line)[:, :2])) for line in lines]
    present = set(coords)
    return lines[[line[::-1] not in present for line in coords]] if len(lines) else lines


def _without_overlaps(lines: NDArray, boundaries: NDArray) -> NDArray:
    """Leave out a line that lies along an earlier one or along the road boundary, by StreamMapNet's constants."""
    if not len(lines):
        return lines
    strips, lengths = shapely.buffer(lines, OVERLAP_BUFFER_M), shapely.length(lines)
    keep = np.ones(len(lines), dtype=bool)
    if len(boundaries):
        edge = shapely.unary_union(shapely.buffer(boundaries, OVERLAP_BUFFER_M))
        keep &= shapely.area(shapely.intersection(strips, edge)) <= OVERLAP_SHARE * lengths
    first, second = shapely.STRtree(strips).query(strips, predicate="intersects")
    pairs = first < second
    first, second = first[pairs], second[pairs]
    shared = shapely.area(shapely.intersection(strips[first], strips[second]))
    close = shared > OVERLAP_SHARE * np.minimum(lengths[first], lengths[second])
    for i, j in sorted(zip(first[close].tolist(), second[close].tolist(), strict=True)):
        if keep[i]:  # a line that is itself left out does not push others out
            keep[j] = False
    return lines[keep]


def crossing_polygons(polygons: Polygons, rule: str) -> NDArray:
    """Crossings by a rule of :data:`CROSSING_RULES`: (N,) polygons, exteriors counter-clockwise."""
    if rule not in CROSSING_RULES:
        raise ValueError(f"unknown crossing rule {rule!r}; choose one of {', '.join(CROSSING_RULES)}")
    return CROSSING_RULES[rule](polygons(CROSSINGS))


def separate(crossings: NDArray) -> NDArray:
    """Each crossing of the source by itself."""
    return crossings


CROSSING_RULES: dict[str, Callable[[NDArray], NDArray]] = {
    "parallel": unite_parallel,
    "union": unite,
    "separate": separate,
}


def boundary_lines(layers: Mapping[str, MapLayer], polygons: Polygons) -> NDArray:
    """The road boundary, the road on the right-hand side: outer rings clockwise, inner rings counter-clockwise.

    Outlines that the source gives are used as they are; else the surfaces are united, and their rings taken.
    """
    if OUTLINES in layers:
        return oriented_rings(layers[OUTLINES].geometries)
    surfaces = [polygons(name) for name in SURFACES if name in layers]
    return outer_and_inner(unite(np.concatenate(surfaces))) if surfaces else np.zeros(0, dtype=object)


def centerline_lines(layers: Mapping[str, MapLayer]) -> NDArray:
    """Centerlines in driving direction, each run of lanes without a fork or merge as one line."""
    if CENTERLINES not in layers:
        return np.zeros(0, dtype=object)
    layer = layers[CENTERLINES]
    successors = layer.column("successors")
    if all(names is None for names in successors):
        return chain_directed(layer.geometries, None)
    number = {token: i for i, token in enumerate(layer.tokens)}
    return chain_directed(
        layer.geometries, [[number[str(name)] for name in names or () if str(name) in number] for names in successors]
    )
