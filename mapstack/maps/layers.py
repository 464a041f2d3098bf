"""Layers of a vector map: checked polylines or polygons in world metres, each with its attributes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray

from mapstack.errors import DataError

__all__ = ["CENTERLINES", "CROSSINGS", "DIVIDER_LAYERS", "LANE_BOUNDARIES", "OUTLINES", "SURFACES", "MapLayer"]

# The layers that the rules of rules.py read. A map may hold others: they are kept and written, and not cropped.
DIVIDER_LAYERS = ("road_divider", "lane_divider")  # polylines that the source itself calls dividers
LANE_BOUNDARIES = "lane_boundary"  # polylines, one a side of a lane; a rule chooses the dividers among them
CROSSINGS = "ped_crossing"  # polygons
SURFACES = ("road_segment", "lane", "drivable_area")  # polygons whose union's rings are the road boundary
OUTLINES = "boundary"  # polylines or rings of the road boundary itself; where present, SURFACES are not used
CENTERLINES = "centerline"  # polylines in driving direction; attributes token, successors

Attributes = Mapping[str, object]


@dataclass(frozen=True)
class MapLayer:
    """N polylines or N polygons of one kind.

    Args:
        geometries: (N,) shapely LineStrings or Polygons, world metres, 2-D or 3-D.
        attributes: N mappings that JSON can hold; ``token`` names the record in messages.
    """

    geometries: NDArray
    attributes: Sequence[Attributes] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        if len(self.geometries) != len(self.attributes):
            raise ValueError(f"{len(self.geometries)} geometries with {len(self.attributes)} attributes")

    def __len__(self) -> int:
        return len(self.geometries)

    @classmethod
    def from_lines(
        cls, vertices: Sequence[NDArray], attributes: Sequence[Attributes] | None = None, where: str = "layer"
    ) -> "MapLayer":
        """Check and wrap polylines.

        Args:
            vertices: N arrays (n_i >= 2, 2 or 3), world metres.
            attributes: one mapping each; None gives each its number as token.
            where: file and layer, for messages.

        Raises:
            DataError: a vertex is not finite, or a polyline has one vertex or no length.
        """
        attributes = _numbered(vertices, attributes)
        rows = zip(vertices, attributes, strict=True)
        lines = [shapely.linestrings(_checked(line, f"{where}, {_token(about)}", ring=False)) for line, about in rows]
        return cls(_geometries(lines), tuple(attributes))

    @classmethod
    def from_polygons(
        cls,
        exteriors: Sequence[NDArray],
        attributes: Sequence[Attributes] | None = None,
        holes: Sequence[Sequence[NDArray]] | None = None,
        where: str = "layer",
    ) -> "MapLayer":
        """Check and wrap polygons; rings may or may not repeat their first vertex.

        A ring that crosses itself is kept as it is: the map repairs it when it is first used, and counts it.

        Args:
            exteriors: N arrays (n_i >= 3, 2 or 3), world metres.
            attributes: one mapping each; None gives each its number as token.
            holes: for each polygon its inner rings; None for no holes.
            where: file and layer, for messages.

        Raises:
            DataError: a vertex is not finite, or a ring has fewer than three vertices.
        """
        attributes = _numbered(exteriors, attributes)
        holes = [()] * len(exteriors) if holes is None else holes
        polygons = []
        for ring, inner, about in zip(exteriors, holes, attributes, strict=True):
            name = f"{where}, {_token(about)}"
            rings = [shapely.linearrings(_checked(hole, name, ring=True)) for hole in inner]
            polygons.append(shapely.polygons(shapely.linearrings(_checked(ring, name, ring=True)), rings or None))
        return cls(_geometries(polygons), tuple(attributes))

    def column(self, name: str) -> list:
        """One attribute of all records, None where a record lacks it."""
        return [about.get(name) for about in self.attributes]

    @property
    def tokens(self) -> list[str]:
        """The record's name, or its number where the source gives none."""
        return [str(about.get("token", i)) for i, about in enumerate(self.attributes)]


def _token(about: Attributes) -> str:
    return f"token {about.get('token', 'unknown')}"


def _numbered(vertices: Sequence[NDArray], attributes: Sequence[Attributes] | None) -> Sequence[Attributes]:
    return [{"token": str(i)} for i in range(len(vertices))] if attributes is None else attributes


def _geometries(items: list) -> NDArray:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def _checked(vertices: NDArray, name: str, ring: bool) -> NDArray:
    vertices = np.asarray(vertices, dtype=np.float64)
    if vertices.ndim != 2 or vertices.shape[1] not in (2, 3):
        raise DataError(f"{name}: vertices must be (n, 2 or 3), got shape {vertices.shape}")
    if not np.isfinite(vertices).all():
        row = int((~np.isfinite(vertices)).any(1).argmax())
        raise DataError(f"{name}: vertex {row} is not finite; mend the map file")
    following = np.roll(vertices, -1, axis=0) if ring else vertices[1:]
    repeated = (vertices[: len(following), :2] == following[:, :2]).all(1) if len(vertices) > 1 else np.zeros(0)
    distinct = len(vertices) - int(repeated.sum())
    minimum = 3 if ring else 2
    if distinct < minimum:
        raise DataError(f"{name}: {distinct} distinct vertices where {minimum} are needed; remove or mend the record")
    return vertices
