"""Merge what a drive saw again and again, frame by frame, into one map with a confidence for each element.

Lines are sampled every metre. A new line that runs along a known one, within reach and in parallel, moves it a little
(a weighted mean of the offsets, near observations counting more) and makes it longer where it goes on; any other begins
a new element. Confidence is the sum of the scores over the number of frames that could have seen the place, so that a
line that appeared in one frame of twenty counts little.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mapstack.geometry.polyline import length_m, resample

__all__ = ["AREA_CLASSES", "Merged", "Observation", "merge"]

AREA_CLASSES = frozenset({"ped_crossing"})
STEP_M = 1.0
NEAR_M = 20.0  # what is seen from farther away weighs less by a factor of e
PARALLEL_COSINE = 0.8
END_POINTS = 3  # a line that matches this close to an element's end continues it
MIN_LINE_M = 2.0
SAME_AREA_M = 3.0
MIN_AREA_M2 = 1.0
SIMPLIFY_M = 0.05


@dataclass(frozen=True)
class Observation:
    """What one frame predicted (or one drive, when drives are merged), in world metres.

    Args:
        lines: N arrays (n_i, 2).
        names: N classes.
        scores: (N,) in [0, 1].
        coverage: what it could see.
        center: (2,) where it stood; None weighs all places alike.
    """

    lines: Sequence[NDArray]
    names: Sequence[str]
    scores: NDArray
    coverage: shapely.Geometry
    center: NDArray | None = None


@dataclass(frozen=True)
class Merged:
    """N elements.

    Args:
        lines: N arrays (n_i, 2) world metres; areas repeat their first vertex.
        names: N classes.
        confidence: (N,) in [0, 1].
        views: (N,) int, observations that could have seen it.
    """

    lines: list[NDArray]
    names: list[str]
    confidence: NDArray
    views: NDArray


def merge(observations: Sequence[Observation], *, reach_m: float = 1.5, min_confidence: float = 0.1) -> Merged:
    """Merge observations in the order given.

    Args:
        observations: of one drive in order of time, or one a drive.
        reach_m: lines of one class closer than this and parallel are the same.
        min_confidence: elements below it are left out.
    """
    rows: list[tuple[NDArray, str, float, int]] = []
    for name in sorted({name for seen in observations for name in seen.names}):
        merge_class = _merge_areas if name in AREA_CLASSES else _merge_lines
        rows += [
            (line, name, confidence, views) for line, confidence, views in merge_class(observations, name, reach_m)
        ]
    rows = [row for row in rows if row[2] >= min_confidence]
    return Merged(
        lines=[row[0] for row in rows],
        names=[row[1] for row in rows],
        confidence=np.array([row[2] for row in rows]),
        views=np.array([row[3] for row in rows], dtype=np.int64),
    )


@dataclass
class _Element:
    """A line that grows: base points a metre apart, with what was added up at each."""

    base: NDArray  # (n, 2)
    weight: NDArray  # (n,)
    offset: NDArray  # (n, 2), weighted sum
    score: NDArray  # (n,), sum
    last: NDArray = field(default_factory=lambda: np.zeros(0, np.int64))  # observation that scored each point last

    @classmethod
    def from_points(cls, points: NDArray, weight: NDArray, score: float, number: int) -> "_Element":
        count = len(points)
        return cls(points, weight, np.zeros((count, 2)), np.full(count, score), np.full(count, number))

    def add(self, at: NDArray, points: NDArray, weight: NDArray, score: float, number: int) -> None:
        """Take in (m, 2) points that lie beside the base points ``at``; an observation scores a point once."""
        normal = _normals(self.base)[at]
        across = ((points - self.base[at]) * normal).sum(1, keepdims=True) * normal
        np.add.at(self.weight, at, weight)
        np.add.at(self.offset, at, weight[:, None] * across)
        between = np.arange(at.min(), at.max() + 1)  # base points that fell between two of the new line's
        fresh = between[self.last[between] != number]
        self.score[fresh] += score
        self.last[fresh] = number

    def extend(self, other: "_Element", at_head: bool) -> None:
        """Go on with the points of another element before the first or after the last."""
        pair = (other, self) if at_head else (self, other)
        for name in ("base", "weight", "offset", "score", "last"):
            setattr(self, name, np.concatenate([getattr(part, name) for part in pair]))

    def line(self) -> NDArray:
        """(n, 2) where the observations put it."""
        moved = self.base + self.offset / self.weight[:, None]
        if len(moved) > 4:  # a metre's neighbours were moved by other observations: smooth the seams
            moved[1:-1] = (moved[:-2] + 2.0 * moved[1:-1] + moved[2:]) / 4.0
        return shapely.get_coordinates(shapely.simplify(shapely.linestrings(moved), SIMPLIFY_M))


def _merge_lines(observations: Sequence[Observation], name: str, reach_m: float) -> list[tuple[NDArray, float, int]]:
    elements: list[_Element] = []
    for number, seen in enumerate(observations):
        for line, label, score in zip(seen.lines, seen.names, seen.scores, strict=True):
            if label == name and length_m(line) >= MIN_LINE_M:
                _add_line(elements, _sampled(line), seen, float(score), number, reach_m)
    covers = [seen.coverage for seen in observations]
    shapely.prepare(covers)
    made = []
    for element in elements:
        line = element.line()
        views = sum(shapely.contains_xy(cover, element.base).astype(int) for cover in covers)
        made.append((line, float(np.clip(element.score / np.maximum(views, 1), 0, 1).mean()), int(views.max())))
    return [row for row in made if length_m(row[0]) >= MIN_LINE_M]


def _add_line(
    elements: list[_Element], points: NDArray, seen: Observation, score: float, number: int, reach_m: float
) -> None:
    """Put one sampled line into the elements."""
    weight = np.full(len(points), score)
    if seen.center is not None:
        weight = weight * np.exp(-np.linalg.norm(points - seen.center, axis=1) / NEAR_M)
    weight = np.maximum(weight, 1e-9)
    owner, at, matched = _matches(elements, points, reach_m)
    if matched.sum() < 2:
        elements.append(_Element.from_points(points, weight, score, number))
        return
    for number_of in np.unique(owner[matched]).tolist():
        mine = matched & (owner == number_of)
        elements[number_of].add(at[mine], points[mine], weight[mine], score, number)
    hits = np.flatnonzero(matched)
    for run, hit in ((np.arange(hits[0]), hits[0]), (np.arange(hits[-1] + 1, len(points)), hits[-1])):
        if len(run):
            rest = _Element.from_points(points[run], weight[run], score, number)
            _continue(elements, owner[hit], int(at[hit]), rest, comes_before=run[0] < hit)


def _continue(elements: list[_Element], owner: int, at: int, rest: _Element, comes_before: bool) -> None:
    """Lengthen an element by the rest of a line that matched it at ``at``, or let the rest be one of its own."""
    element = elements[owner]
    is_head, is_tail = at < END_POINTS, at >= len(element.base) - END_POINTS
    joint = rest.base[-1 if comes_before else 0]
    if is_head and is_tail:  # an element of few points: the nearer end
        is_head = np.linalg.norm(joint - element.base[0]) <= np.linalg.norm(joint - element.base[-1])
    if not (is_head or is_tail):
        if length_m(rest.base) >= 2 * MIN_LINE_M:
            elements.append(rest)
        return
    if comes_before != bool(is_head):  # the rest runs towards a head and away from a tail
        for name in ("base", "weight", "offset", "score", "last"):
            setattr(rest, name, getattr(rest, name)[::-1])
    element.extend(rest, at_head=bool(is_head))


def _matches(elements: list[_Element], points: NDArray, reach_m: float) -> tuple[NDArray, NDArray, NDArray]:
    """For each of (m, 2) points the element, its base point, and whether it is near and runs the same way."""
    if not elements:
        nothing = np.zeros(len(points), np.int64)
        return nothing, nothing, np.zeros(len(points), bool)
    counts = [len(element.base) for element in elements]
    owners = np.repeat(np.arange(len(elements)), counts)
    places = np.concatenate([np.arange(count) for count in counts])
    moved = np.concatenate([element.base + element.offset / element.weight[:, None] for element in elements])
    normals = np.concatenate([_normals(element.base) for element in elements])
    distance, nearest = cKDTree(moved).query(points)
    parallel = np.abs((normals[nearest] * _normals(points)).sum(1)) > PARALLEL_COSINE
    return owners[nearest], places[nearest], (distance < reach_m) & parallel


def _merge_areas(observations: Sequence[Observation], name: str, reach_m: float) -> list[tuple[NDArray, float, int]]:
    """Areas with their middles close together are one; the outline is that of the best observation."""
    groups: list[dict] = []
    for number, seen in enumerate(observations):
        for line, label, score in zip(seen.lines, seen.names, seen.scores, strict=True):
            area = _area(line) if label == name else None
            if area is None:
                continue
            middle = shapely.get_coordinates(area.centroid)[0]
            far = 0.0 if seen.center is None else float(np.linalg.norm(middle - seen.center))
            weight = float(score) * np.exp(-far / NEAR_M)
            group = next((g for g in groups if np.linalg.norm(g["middle"] - middle) < SAME_AREA_M), None)
            if group is None:
                group = {"middle": middle, "weight": 0.0, "area": area, "scores": {}}
                groups.append(group)
            group["scores"][number] = max(float(score), group["scores"].get(number, 0.0))
            if weight > group["weight"]:
                group |= {"middle": middle, "weight": weight, "area": area}
    made = []
    for group in groups:
        views = sum(shapely.contains_xy(seen.coverage, *group["middle"]) for seen in observations)
        confidence = min(1.0, sum(group["scores"].values()) / max(int(views), 1))
        made.append((shapely.get_coordinates(group["area"].exterior), confidence, int(views)))
    return made


def _area(line: NDArray) -> shapely.Polygon | None:
    """The largest valid polygon inside a ring, which may cross itself; None where it encloses nothing."""
    if len(line) < 3:
        return None
    parts = shapely.get_parts(shapely.make_valid(shapely.polygons(line)))
    parts = [part for part in parts if isinstance(part, shapely.Polygon) and part.area >= MIN_AREA_M2]
    return max(parts, key=shapely.area) if parts else None


def _sampled(line: NDArray) -> NDArray:
    return resample([line], max(3, round(length_m(line) / STEP_M) + 1))[0]


def _normals(points: NDArray) -> NDArray:
    along = np.gradient(points, axis=0)
    length = np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    return np.stack([-along[:, 1], along[:, 0]], axis=1) / length
