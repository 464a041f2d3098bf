"""PriorLines: what any prior map is to a model: polylines with class, confidence and tags, and their view from a pose.

Street maps, HD maps of whatever age and maps of earlier drives are told apart by their source, and share one set of
classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from mapstack.errors import DataError
from mapstack.geometry.grid import BEVGrid
from mapstack.geometry.se3 import planar_pose

from .changes import ChangeIndex, MapChange
from .clip import LineIndex, patch_in_world
from .crossings import CrossingIndex
from .osm import OSM_CROSSINGS, ROAD_CLASSES, ROADS, SIGNALS
from .patch import CLASSES, DIRECTED_CLASSES
from .vector_map import VectorMap

__all__ = ["PRIOR_CLASSES", "PRIOR_SOURCES", "PRIOR_TAGS", "PriorLines", "PriorPatch"]

PRIOR_CLASSES = (*CLASSES, *ROAD_CLASSES, OSM_CROSSINGS, SIGNALS)
PRIOR_SOURCES = ("sd", "hd", "drive")
# Of a street: its lanes of both directions (0 where unknown), and 1 where it is one-way, a link, a bridge, a tunnel.
PRIOR_TAGS = ("lanes", "oneway", "link", "bridge", "tunnel")


@dataclass(frozen=True)
class PriorPatch:
    """The elements of a prior inside the patch of one pose; N may be 0.

    Args:
        vertices: N arrays (n_i, 2 or 3), ego metres.
        labels: (N,) int64, index into :data:`PRIOR_CLASSES`.
        confidence: (N,) in [0, 1].
        tags: (N, T), columns as :data:`PRIOR_TAGS`.
        closed: (N,) bool.
        directed: (N,) bool: the order of the vertices is the driving direction.
        elements: (N,) int64, number of the element of the whole prior that each is (a part of).
        changed: (N,) int64: 1 where it shows what is no longer there, 0 where what is, -1 where nobody knows.
    """

    vertices: list[NDArray]
    labels: NDArray
    confidence: NDArray
    tags: NDArray
    closed: NDArray
    directed: NDArray
    elements: NDArray
    changed: NDArray

    def __len__(self) -> int:
        return len(self.vertices)


class PriorLines:
    """N elements under a spatial index.

    Args:
        lines: (N,) shapely LineStrings, or Polygons for what is an area (crossings), world metres.
        names: N names of :data:`PRIOR_CLASSES`.
        confidence: (N,) in [0, 1]; None for all 1.
        tags: (N, T); None for all 0.
        tokens: N names for messages and lists of changes; None numbers them.
        name: of the map, for messages.
        changes: what tells this map from the world, where that is known; none for a current map.
    """

    def __init__(
        self,
        lines: NDArray,
        names: Sequence[str],
        confidence: NDArray | None = None,
        tags: NDArray | None = None,
        tokens: Sequence[str] | None = None,
        *,
        name: str = "prior",
        changes: Sequence[MapChange] | None = None,
    ) -> None:
        unknown = sorted(set(names) - set(PRIOR_CLASSES))
        if unknown or len(names) != len(lines):
            raise ValueError(f"{name}: {len(lines)} elements, {len(names)} classes, unknown {unknown}")
        self.name, self.lines = name, np.asarray(lines, dtype=object)
        self.labels = np.array([PRIOR_CLASSES.index(label) for label in names], dtype=np.int64)
        self.confidence = np.ones(len(lines)) if confidence is None else np.asarray(confidence, np.float64)
        self.tags = np.zeros((len(lines), len(PRIOR_TAGS))) if tags is None else np.asarray(tags, np.float64)
        self.tokens = [str(i) for i in range(len(lines))] if tokens is None else list(tokens)
        directed = np.array([label in DIRECTED_CLASSES for label in names], dtype=bool)
        self.directed = directed | (self.tags[:, PRIOR_TAGS.index("oneway")] > 0)
        is_area = shapely.get_type_id(self.lines) == shapely.GeometryType.POLYGON if len(lines) else np.zeros(0, bool)
        self._line_numbers, self._area_numbers = np.flatnonzero(~is_area), np.flatnonzero(is_area)
        self._index = LineIndex(self.lines[self._line_numbers])
        self._areas = shapely.STRtree(self.lines[self._area_numbers])
        self._tree = shapely.STRtree(self.lines)
        self._changes = None if changes is None else ChangeIndex(changes)

    def __len__(self) -> int:
        return len(self.lines)

    @classmethod
    def from_streets(cls, vector_map: VectorMap) -> "PriorLines":
        """A map of :func:`mapstack.maps.load_osm`: streets with their tags, crossings and signals."""
        lines, names, rows, tokens = [], [], [], []
        for layer_name in (ROADS, OSM_CROSSINGS, SIGNALS):
            layer = vector_map.layers.get(layer_name)
            for line, about in zip(layer.geometries, layer.attributes, strict=True) if layer is not None else ():
                lines.append(line)
                names.append(about["road_class"] if layer_name == ROADS else layer_name)
                rows.append([float(about.get(tag) or 0) for tag in PRIOR_TAGS])
                tokens.append(str(about["token"]))
        tags = np.array(rows).reshape(-1, len(PRIOR_TAGS))
        return cls(_objects(lines), names, tags=tags, tokens=tokens, name=vector_map.name)

    @classmethod
    def from_hd_map(
        cls,
        vector_map: VectorMap,
        classes: Sequence[str] = CLASSES[:3],
        divider_rule: str = "maptrv2",
        crossing_rule: str = "parallel",
        changes: Sequence[MapChange] | None = None,
    ) -> "PriorLines":
        """An HD map of any source and age, by the rules that truth is cut by; with its changes where they are known."""
        lines, names = [], []
        for name in classes:
            found = vector_map.elements(name, {"divider": divider_rule, "ped_crossing": crossing_rule}.get(name, ""))
            lines += list(found)
            names += [name] * len(found)
        return cls(_objects(lines), names, name=vector_map.name, changes=changes)

    def distance_m(self, points: NDArray) -> NDArray:
        """(M,) metres from (M, >= 2) world points to the nearest element; infinite where there is none."""
        if not len(self.lines):
            return np.full(len(points), np.inf)
        spots = shapely.points(np.asarray(points, np.float64)[:, :2])
        return shapely.distance(spots, self.lines[self._tree.nearest(spots)])

    def require_near(self, track: NDArray, limit_m: float) -> None:
        """Check that the map lies where the drive was.

        Args:
            track: (M, >= 2) world metres, places of the ego vehicle.
            limit_m: the median distance to the nearest element that is still believed.

        Raises:
            DataError: the map is empty or farther away; the usual reasons are named.
        """
        median = float(np.median(self.distance_m(track)))
        if median > limit_m:
            raise DataError(
                f"{self.name}: the nearest of its {len(self.lines)} elements is {median:,.0f} m from the ego track "
                f"(median; {limit_m:,.0f} m are believed): wrong coordinates or another place. Check the place that "
                f"the map was read with, that lon comes before lat, and that metres were not taken for degrees"
            )

    def crop(self, world_from_ego: NDArray, grid: BEVGrid) -> PriorPatch:
        """Cut the elements to the patch of a pose; lines are cut, areas stay closed, as in :meth:`VectorMap.crop`.

        Args:
            world_from_ego: (4, 4); roll and pitch are left out.
            grid: its x and y range is the patch.
        """
        pose = planar_pose(np.asarray(world_from_ego, dtype=np.float64))
        if not np.isfinite(pose).all():
            raise DataError(f"{self.name}: the pose to crop at is not finite: {np.asarray(world_from_ego).tolist()}")
        patch = patch_in_world(pose, grid.box_xy)
        found = [
            (int(self._line_numbers[piece.line]), piece.vertices, piece.closed)
            for piece in self._index.clip(pose, grid.box_xy, patch)
        ]
        for hit in self._areas.query(patch, predicate="intersects").tolist():
            number = int(self._area_numbers[hit])
            rings = CrossingIndex(self.lines[[number]]).clip(pose, grid.box_xy, patch)
            found += [(number, ring, True) for ring in rings]
        found.sort(key=lambda row: row[0])
        numbers = np.array([number for number, _, _ in found], dtype=np.int64)
        return PriorPatch(
            vertices=[vertices for _, vertices, _ in found],
            labels=self.labels[numbers],
            confidence=self.confidence[numbers],
            tags=self.tags[numbers],
            closed=np.array([closed for _, _, closed in found], dtype=bool),
            directed=self.directed[numbers],
            elements=numbers,
            changed=self._changed([vertices for _, vertices, _ in found], numbers, pose),
        )

    def _changed(self, pieces: list[NDArray], numbers: NDArray, pose: NDArray) -> NDArray:
        if self._changes is None:
            return np.full(len(pieces), -1, dtype=np.int64)
        in_world = [piece[:, :2] @ pose[:2, :2].T + pose[:2, 3] for piece in pieces]
        names = [PRIOR_CLASSES[label] for label in self.labels[numbers]]
        return self._changes.contradicted(in_world, names).astype(np.int64)


def _objects(lines: Sequence[shapely.Geometry]) -> NDArray:
    array = np.empty(len(lines), dtype=object)
    array[:] = lines
    return array
