"""Turn a current HD map into a plausible old one, reproducibly and at a stated strength, with the list of changes.

The aged map is one map: what happens to an element depends on the seed, the tile of ground it lies in and the element
itself, never on who looks at it. (The released PriorDrive adds fresh noise to the current frame's truth at every step,
in testing too; whoever averages such priors recovers the truth.)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray

from mapstack.geometry.se3 import rotation_z

from .changes import MapChange
from .layers import CENTERLINES, CROSSINGS, OUTLINES, MapLayer
from .patch import CLASSES
from .stale_edits import age_boundaries, age_crossings, age_dividers, cut_coverage, densified
from .stale_noise import rng_at, warp_at, white_at
from .vector_map import VectorMap

__all__ = ["Ageing", "StaleMap", "age_map", "only_classes"]

CHANGED_SHARE = 0.36  # of dividers and of crossings, at strength 1
PARTS = {"removed": 0.3, "added": 0.2, "shifted": 0.4, "relaned": 0.1}
PIVOT_M = 100.0
WARP_STEP_M = 10.0
SURVEY, WARP, NOISE = 11, 12, 13  # purposes of the random numbers
DIVIDERS = "lane_divider"


@dataclass(frozen=True)
class Ageing:
    """How much a map has aged. Shares are of elements (of tiles for ``reshaped`` and ``uncovered``).

    Args:
        removed: built since, so missing in the aged map.
        added: taken away since, so still in the aged map.
        shifted: dividers painted elsewhere since, crossings moved along the road.
        relaned: dividers in whose place the aged map has two.
        reshaped: tiles with a place where the kerb was moved.
        uncovered: tiles (of twice the length) that the aged map does not cover.
        shift_m: (least, most) for dividers.
        crossing_m: (least, most) for crossings.
        reshape_m: (least, most) for boundaries.
        offset_m: length of the whole map's offset, its direction drawn.
        rotation_deg: of the whole map about ``pivot``, its sign drawn.
        warp_m: standard deviation of a smooth distortion.
        noise_m: standard deviation of each vertex.
    """

    removed: float = 0.0
    added: float = 0.0
    shifted: float = 0.0
    relaned: float = 0.0
    reshaped: float = 0.0
    uncovered: float = 0.0
    shift_m: tuple[float, float] = (0.5, 1.6)
    crossing_m: tuple[float, float] = (1.5, 6.0)
    reshape_m: tuple[float, float] = (0.8, 2.5)
    offset_m: float = 0.0
    rotation_deg: float = 0.0
    warp_m: float = 0.0
    noise_m: float = 0.0

    def __post_init__(self) -> None:
        for name in ("shift_m", "crossing_m", "reshape_m"):  # configs write lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        shares = (self.removed, self.added, self.shifted, self.relaned)
        if min(*shares, self.reshaped, self.uncovered) < 0 or sum(shares) > 1 or max(self.reshaped, self.uncovered) > 1:
            raise ValueError(f"shares lie in [0, 1] and removed + added + shifted + relaned too, got {self}")
        if any(not 0 <= low <= high for low, high in (self.shift_m, self.crossing_m, self.reshape_m)):
            raise ValueError(f"distances must be (least, most) with 0 <= least <= most, got {self}")
        if min(self.offset_m, self.warp_m, self.noise_m) < 0:
            raise ValueError(f"offset_m, warp_m and noise_m must not be negative, got {self}")

    @classmethod
    def at(cls, strength: float) -> "Ageing":
        """All kinds of ageing together: 0 is today's map, 1 some years, 2 twice as much has changed; no upper end."""
        if not strength >= 0:
            raise ValueError(f"strength must be at least 0, got {strength}")
        changed = 1.0 - (1.0 - CHANGED_SHARE) ** strength
        return cls(
            **{name: changed * part for name, part in PARTS.items()},
            reshaped=1.0 - 0.75**strength,
            uncovered=1.0 - 0.96**strength,
            shift_m=(0.5, 0.5 + 1.1 * strength),
            crossing_m=(1.5, 1.5 + 4.5 * strength),
            reshape_m=(0.8, 0.8 + 1.7 * strength),
            offset_m=0.2 * strength,
            rotation_deg=0.01 * strength,
            warp_m=0.15 * strength,
            noise_m=0.04 * strength,
        )

    @property
    def is_none(self) -> bool:
        """Whether the map stays as it is."""
        shares = self.removed, self.added, self.shifted, self.relaned, self.reshaped, self.uncovered
        return not any((*shares, self.offset_m, self.rotation_deg, self.warp_m, self.noise_m))

    def local_only(self) -> "Ageing":
        """The same changes of elements in a map that was surveyed without error and covers everything."""
        return replace(self, offset_m=0.0, rotation_deg=0.0, warp_m=0.0, noise_m=0.0, uncovered=0.0)


@dataclass(frozen=True)
class StaleMap:
    """An aged map, and every change that made it one."""

    vector_map: VectorMap
    changes: list[MapChange]


def age_map(
    vector_map: VectorMap,
    ageing: Ageing,
    seed: int = 0,
    *,
    divider_rule: str = "maptrv2",
    crossing_rule: str = "parallel",
    pivot: tuple[float, float] | None = None,
) -> StaleMap:
    """Age a map of any source.

    Args:
        vector_map: today's; 2-D or 3-D. It is not changed.
        ageing: how much.
        seed: another seed is another past.
        divider_rule: which lines are dividers; the aged map holds them as such, whatever rule it is cropped by.
        crossing_rule: how crossings are joined.
        pivot: world metres that the whole map's rotation leaves in place; None for the middle of its boundary, to
            100 m: state it where several extracts of one city must get one past.

    Returns:
        A map with the layers ``lane_divider``, ``ped_crossing``, ``boundary`` and ``centerline`` (centerlines are moved
        with the whole map, and not changed one by one), and the changes.
    """
    dividers, changes = age_dividers(_lines(vector_map.elements("divider", divider_rule)), ageing, seed)
    crossings, more = age_crossings(_rings(vector_map.elements("ped_crossing", crossing_rule)), ageing, seed)
    boundaries, most = age_boundaries(_lines(vector_map.elements("boundary")), ageing, seed)
    centerlines = [(f"centerline-{i}", line) for i, line in enumerate(_lines(vector_map.elements("centerline")))]
    changes += more + most
    groups = [dividers, crossings, boundaries, centerlines]
    if ageing.uncovered:
        groups, uncovered = cut_coverage(groups, ageing.uncovered, seed)
        changes += uncovered
    move = _survey(ageing, seed, _pivot(vector_map) if pivot is None else np.asarray(pivot, float))
    groups = [[(token, _surveyed(line, move, ageing, seed)) for token, line in group] for group in groups]
    changes = [replace(change, after=tuple(move(line) for line in change.after)) for change in changes]
    layers = {
        DIVIDERS: _layer(groups[0]),
        CROSSINGS: _layer(groups[1], areas=True),
        OUTLINES: _layer(groups[2]),
        CENTERLINES: _layer(groups[3]),
    }
    return StaleMap(VectorMap(layers, name=f"{vector_map.name}, aged", source=vector_map.source), changes)


def only_classes(vector_map: VectorMap, classes: Sequence[str]) -> VectorMap:
    """The map with some classes alone, as MapEX and HDMap-EX have it: only boundaries, or only centerlines.

    Args:
        vector_map: an aged map, or any whose layers hold one class each.
        classes: of :data:`mapstack.maps.CLASSES`.
    """
    unknown = set(classes) - set(CLASSES)
    if unknown:
        raise ValueError(f"unknown classes {sorted(unknown)}; choose from {', '.join(CLASSES)}")
    owners = {"divider": DIVIDERS, "ped_crossing": CROSSINGS, "boundary": OUTLINES, "centerline": CENTERLINES}
    kept = {owners[name]: vector_map.layers[owners[name]] for name in classes if owners[name] in vector_map.layers}
    return VectorMap(kept, name=f"{vector_map.name}, {' and '.join(classes)} only", source=vector_map.source)


def _lines(geometries: NDArray) -> list[NDArray]:
    return [shapely.get_coordinates(line, include_z=shapely.has_z(line)) for line in geometries]


def _rings(polygons: NDArray) -> list[NDArray]:
    return _lines(shapely.get_exterior_ring(polygons)) if len(polygons) else []


def _layer(rows: list[tuple[str, NDArray]], areas: bool = False) -> MapLayer:
    about = [{"token": token} for token, _ in rows]
    vertices = [line for _, line in rows]
    return MapLayer.from_polygons(vertices, about) if areas else MapLayer.from_lines(vertices, about)


def _pivot(vector_map: VectorMap) -> NDArray:
    lines = vector_map.elements("boundary")
    if not len(lines):
        return np.zeros(2)
    low_x, low_y, high_x, high_y = shapely.total_bounds(lines)
    return np.round(np.array([low_x + high_x, low_y + high_y]) / 2 / PIVOT_M) * PIVOT_M


def _survey(ageing: Ageing, seed: int, pivot: NDArray) -> Callable[[NDArray], NDArray]:
    """The motion of the whole map: offset, rotation and smooth distortion of (n, 2 or 3) points."""
    rng = rng_at(seed, SURVEY, (0, 0))
    angle = rng.uniform(0.0, 2.0 * np.pi)
    offset = ageing.offset_m * np.array([np.cos(angle), np.sin(angle)])
    turn = rotation_z(float(np.radians(ageing.rotation_deg) * rng.choice([-1.0, 1.0])))[:2, :2]

    def move(points: NDArray) -> NDArray:
        moved = points.copy()
        moved[:, :2] = (points[:, :2] - pivot) @ turn.T + pivot + offset
        if ageing.warp_m:
            moved[:, :2] += ageing.warp_m * warp_at(points, seed, WARP)
        return moved

    return move


def _surveyed(line: NDArray, move: Callable[[NDArray], NDArray], ageing: Ageing, seed: int) -> NDArray:
    if ageing.warp_m:  # a straight line of two vertices must bend with the ground between them
        line = densified(line, WARP_STEP_M)
    moved = move(line)
    if ageing.noise_m:
        moved[:, :2] += ageing.noise_m * white_at(line, seed, NOISE)
    return moved
