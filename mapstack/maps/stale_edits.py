"""What happens to single elements of a map over the years: dividers, crossings, boundaries; and where maps end."""

from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .changes import MapChange
from .stale_noise import TILE_M, element_key, rng_at, tile_of

if TYPE_CHECKING:
    from .stale import Ageing

__all__ = ["age_boundaries", "age_crossings", "age_dividers", "cut_coverage", "densified"]

DIVIDER, CROSSING, KERB, ISLAND, COVERAGE = range(5)  # purposes of the random numbers
RELANED_M = 1.2  # two lanes painted as three, and the other way round, move a divider about so far
DOUBLED_M = 3.2  # a divider that is gone lay about a lane beside another
REACH_M = (15.0, 30.0)  # of a place where the kerb was moved
ISLAND_M = 80.0  # rings up to this long are traffic islands, and come and go whole
KERB_STEP_M = 2.0
NOTICED_M = 0.3  # a kerb moved by less is no change worth a list
MIN_LINE_M = 1.0

Row = tuple[str, NDArray]  # token, (n, 2 or 3) vertices
Made = tuple[list[Row], list[MapChange]]


def age_dividers(lines: list[NDArray], ageing: "Ageing", seed: int) -> Made:
    """Keep, remove, double, shift or replace each divider by two."""
    rows, changes = [], []
    for line in lines:
        line = _canonical(line)
        tile, key = tile_of(_middle(line)), element_key(line)
        rng = rng_at(seed, DIVIDER, tile, key)
        operation = _draw(ageing, rng)
        by = float(rng.uniform(*ageing.shift_m) * rng.choice([-1.0, 1.0]))
        token = f"divider-{key:08x}"
        if operation == "kept":
            rows.append((token, line))
            continue
        if operation == "removed":
            changes.append(MapChange("removed", "divider", token, tile, before=(line[:, :2],)))
            continue
        if operation == "shifted":
            made = [(token, _beside(line, by))]
        elif operation == "added":
            by = float(np.sign(by) * DOUBLED_M)
            made = [(f"{token}-added", _beside(line, by))]
            rows.append((token, line))
        else:
            by = RELANED_M
            made = [(f"{token}-{side}", _beside(line, sign * by)) for side, sign in (("a", -1.0), ("b", 1.0))]
        rows += made
        before = () if operation == "added" else (line[:, :2],)
        after = tuple(vertices[:, :2] for _, vertices in made)
        changes.append(MapChange(operation, "divider", token, tile, before, after, by))
    return rows, changes


def age_crossings(rings: list[NDArray], ageing: "Ageing", seed: int) -> Made:
    """Keep, remove or move each crossing along its road, or leave one that is gone farther on."""
    rows, changes = [], []
    for ring in rings:
        tile, key = tile_of(ring[:-1, :2].mean(0)), element_key(_sorted_ring(ring))
        rng = rng_at(seed, CROSSING, tile, key)
        operation = _draw(ageing, rng)
        by = float(rng.uniform(*ageing.crossing_m) * rng.choice([-1.0, 1.0]))
        token = f"ped_crossing-{key:08x}"
        if operation == "removed":
            changes.append(MapChange("removed", "ped_crossing", token, tile, before=(ring[:, :2],)))
            continue
        if operation == "kept":
            rows.append((token, ring))
            continue
        step = _along_road(ring)
        moved = ring.copy()
        if operation == "added":
            by *= 3.0
            moved[:, :2] += by * step
            rows += [(token, ring), (f"{token}-added", moved)]
            changes.append(MapChange("added", "ped_crossing", token, tile, (), (moved[:, :2],), by))
        else:  # a crossing cannot be re-laned: it is moved
            moved[:, :2] += by * step
            rows.append((token, moved))
            changes.append(MapChange("moved", "ped_crossing", token, tile, (ring[:, :2],), (moved[:, :2],), by))
    return rows, changes


def age_boundaries(lines: list[NDArray], ageing: "Ageing", seed: int) -> Made:
    """Move the kerb at some places, in or out by a smooth bump, and take away some islands."""
    rows, changes = [], []
    places = _kerb_places(lines, ageing, seed) if ageing.reshaped else np.zeros((0, 6))
    tree = cKDTree(places[:, :2]) if len(places) else None
    for line in lines:
        key = element_key(_sorted_ring(line) if _is_ring(line) else line)
        token, tile = f"boundary-{key:08x}", tile_of(_middle(line))
        is_island = _is_ring(line) and shapely.length(shapely.linestrings(line[:, :2])) <= ISLAND_M
        if is_island:
            if rng_at(seed, ISLAND, tile, key).random() < ageing.removed:
                changes.append(MapChange("removed", "boundary", token, tile, before=(line[:, :2],)))
                continue
        elif tree is not None:
            line, more = _reshaped(line, token, places, tree)
            changes += more
        rows.append((token, line))
    return rows, changes


def cut_coverage(groups: list[list[Row]], share: float, seed: int) -> tuple[list[list[Row]], list[MapChange]]:
    """Take out what lies in tiles that the aged map does not cover; crossings go with their middle.

    Args:
        groups: dividers, crossings, boundaries and centerlines.
        share: of tiles.
        seed: of the past.
    """
    size = 2.0 * TILE_M
    points = [line[:, :2] for group in groups for _, line in group]
    if not points:
        return groups, []
    low, high = (np.floor(op(np.concatenate(points), 0) / size).astype(int) for op in (np.min, np.max))
    tiles = [(i, j) for i in range(low[0], high[0] + 1) for j in range(low[1], high[1] + 1)]
    tiles = [tile for tile in tiles if rng_at(seed, COVERAGE, tile).random() < share]
    boxes = [shapely.box(i * size, j * size, (i + 1) * size, (j + 1) * size) for i, j in tiles]
    gone = shapely.union_all(boxes)
    changes = [
        MapChange("uncovered", "", f"tile-{i}-{j}", (i, j), before=(shapely.get_coordinates(box),))
        for (i, j), box in zip(tiles, boxes, strict=True)
    ]
    cut = [[part for row in group for part in _outside(row, gone)] for group in (groups[0], *groups[2:])]
    crossings = [row for row in groups[1] if not shapely.contains_xy(gone, *row[1][:-1, :2].mean(0))]
    return [cut[0], crossings, *cut[1:]], changes


def _draw(ageing: "Ageing", rng: np.random.Generator) -> str:
    chance = rng.random()
    for operation in ("removed", "added", "shifted", "relaned"):
        chance -= getattr(ageing, operation)
        if chance < 0.0:
            return operation
    return "kept"


def _is_ring(line: NDArray) -> bool:
    return len(line) >= 4 and bool((line[0] == line[-1]).all())


def _canonical(line: NDArray) -> NDArray:
    """One of the two directions, the same whichever the source gives, so that left is left."""
    return line if tuple(line[0, :2]) <= tuple(line[-1, :2]) else line[::-1]


def _sorted_ring(ring: NDArray) -> NDArray:
    """The ring's vertices in an order that does not depend on where it begins."""
    distinct = ring[:-1, :2] if _is_ring(ring) else ring[:, :2]
    return distinct[np.lexsort((distinct[:, 1], distinct[:, 0]))]


def _middle(line: NDArray) -> NDArray:
    return shapely.get_coordinates(shapely.line_interpolate_point(shapely.linestrings(line[:, :2]), 0.5, True))[0]


def _normals(line: NDArray) -> NDArray:
    """(n, 2) unit vectors to the left of each vertex."""
    xy = line[:, :2]
    if _is_ring(line):
        along = np.roll(xy[:-1], -1, axis=0) - np.roll(xy[:-1], 1, axis=0)
        along = np.concatenate([along, along[:1]])
    else:
        along = np.gradient(xy, axis=0)
    length = np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    return np.stack([-along[:, 1], along[:, 0]], axis=1) / length


def _beside(line: NDArray, by_m: float) -> NDArray:
    moved = line.copy()
    moved[:, :2] += by_m * _normals(line)
    return moved


def _along_road(ring: NDArray) -> NDArray:
    """(2,) unit vector across the crossing's long side; its sign does not depend on where the ring begins."""
    corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(shapely.polygons(ring[:, :2])))
    sides = corners[1:3] - corners[:2]
    short = sides[int(np.linalg.norm(sides, axis=1).argmin())]
    short = short if tuple(short) >= (0.0, 0.0) else -short
    return short / max(float(np.hypot(*short)), 1e-9)


def _kerb_places(lines: list[NDArray], ageing: "Ageing", seed: int) -> NDArray:
    """(n, 6) x, y, reach, displacement (left positive) and tile of the places where the kerb was moved."""
    if not lines:
        return np.zeros((0, 6))
    points = np.concatenate(
        [shapely.get_coordinates(shapely.segmentize(shapely.linestrings(line[:, :2]), TILE_M / 2)) for line in lines]
    )
    near = np.unique(np.floor(points / TILE_M).astype(int), axis=0)
    around = np.unique((near[:, None] + [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]).reshape(-1, 2), axis=0)
    places = []
    for tile in map(tuple, around.tolist()):
        rng = rng_at(seed, KERB, tile)
        if rng.random() < ageing.reshaped:
            x, y = (np.array(tile) + rng.random(2)) * TILE_M
            by = rng.uniform(*ageing.reshape_m) * rng.choice([-1.0, 1.0])
            places.append((x, y, rng.uniform(*REACH_M), by, *tile))
    return np.array(places).reshape(-1, 6)


def _reshaped(line: NDArray, token: str, places: NDArray, tree: cKDTree) -> tuple[NDArray, list[MapChange]]:
    """The line with its bumps, and a change for every stretch that moved noticeably."""
    fine = densified(line, KERB_STEP_M)
    by, strongest = np.zeros(len(fine)), np.full(len(fine), -1)
    for i, near in enumerate(tree.query_ball_point(fine[:, :2], REACH_M[1])):
        for k in near:
            share = 1.0 - ((fine[i, :2] - places[k, :2]) ** 2).sum() / places[k, 2] ** 2
            push = places[k, 3] * share**2 if share > 0 else 0.0
            if abs(push) > abs(by[i]):  # places that overlap do not add up: a kerb is moved once
                by[i], strongest[i] = push, k
    if not by.any():
        return line, []
    moved = fine.copy()
    moved[:, :2] += by[:, None] * _normals(fine)
    noticed = np.abs(by) > NOTICED_M
    edges = np.flatnonzero(np.diff(np.concatenate([[False], noticed, [False]]).astype(int)))
    changes = []
    for first, last in edges.reshape(-1, 2).tolist():
        if last - first < 2:
            continue
        peak = first + int(np.abs(by[first:last]).argmax())
        tile = tuple(int(value) for value in places[strongest[peak], 4:])
        stretch = slice(first, last)
        changes.append(
            MapChange("reshaped", "boundary", token, tile, (fine[stretch, :2],), (moved[stretch, :2],), float(by[peak]))
        )
    return moved, changes


def _outside(row: Row, gone: shapely.Geometry) -> list[Row]:
    token, line = row
    whole = shapely.linestrings(line[:, :2])
    if not shapely.intersects(whole, gone):
        return [row]
    parts = shapely.get_parts(shapely.difference(whole, gone))
    parts = shapely.get_parts(shapely.line_merge(shapely.multilinestrings(list(parts)))) if len(parts) else parts
    kept = [part for part in parts if shapely.length(part) >= MIN_LINE_M]
    return [(f"{token}-{k}", _with_heights(shapely.get_coordinates(part), line)) for k, part in enumerate(kept)]


def _with_heights(xy: NDArray, line: NDArray) -> NDArray:
    """(n, 2) points on a line of (m, 3) with its heights; as they are on one of (m, 2)."""
    if line.shape[1] == 2:
        return xy
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line[:, :2], axis=0), axis=1))])
    at = shapely.line_locate_point(shapely.linestrings(line[:, :2]), shapely.points(xy))
    return np.column_stack([xy, np.interp(at, arc, line[:, 2])])


def densified(line: NDArray, step_m: float) -> NDArray:
    """(m, 2 or 3) the vertices of a line, with equal steps of at most ``step_m`` between them."""
    length = np.linalg.norm(np.diff(line[:, :2], axis=0), axis=1)
    counts = np.maximum(np.ceil(length / step_m).astype(int), 1)
    segment = np.repeat(np.arange(len(counts)), counts)
    share = (np.arange(len(segment)) - np.repeat(np.cumsum(counts) - counts, counts)) / counts[segment]
    points = line[segment] + share[:, None] * (line[segment + 1] - line[segment])
    return np.concatenate([points, line[-1:]])
