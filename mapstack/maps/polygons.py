"""Repair, unite and orient polygons, once per map."""

import numpy as np
import shapely
from numpy.typing import NDArray

__all__ = ["oriented_rings", "outer_and_inner", "repaired", "unite", "unite_parallel"]

PARALLEL_COSINE = 0.99  # MapTRv2's and StreamMapNet's 8.1 degrees


def repaired(polygons: NDArray) -> tuple[NDArray, NDArray]:
    """Valid polygons in place of those whose rings cross themselves.

    Args:
        polygons: (N,) Polygons.

    Returns:
        (M,) valid Polygons (a bow tie becomes two), and (N,) bool: which were repaired.
    """
    broken = ~shapely.is_valid(polygons)
    if not broken.any():
        return polygons, broken
    valid = polygons.copy()
    valid[broken] = shapely.make_valid(polygons[broken])
    return _areas(valid), broken


def _areas(geometries: NDArray) -> NDArray:
    """The polygonal parts: what an overlay leaves as lines and points is no surface."""
    parts = shapely.get_parts(shapely.get_parts(geometries))
    return parts[(shapely.get_type_id(parts) == 3) & ~shapely.is_empty(parts)]


def unite(polygons: NDArray) -> NDArray:
    """The union as (M,) separate polygons; empty for none."""
    return _areas(np.array([shapely.unary_union(polygons)], dtype=object)) if len(polygons) else polygons


def unite_parallel(polygons: NDArray) -> NDArray:
    """Unite polygons that touch and whose long axes are parallel within 8.1 degrees; exteriors only.

    The relation is made transitive, so the result does not depend on the order of the records.
    """
    if len(polygons) < 2:
        return _filled(polygons)
    axes = _long_axes(polygons)
    first, second = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    parallel = np.abs((axes[first] * axes[second]).sum(1)) > PARALLEL_COSINE
    group = np.arange(len(polygons))
    for i, j in zip(first[parallel], second[parallel], strict=True):
        group[group == group[j]] = group[i]
    united = [unite(polygons[group == name]) for name in dict.fromkeys(group.tolist())]
    return _filled(np.concatenate(united))


def _filled(polygons: NDArray) -> NDArray:
    return shapely.polygons(shapely.get_exterior_ring(polygons)) if len(polygons) else polygons


def _long_axes(polygons: NDArray) -> NDArray:
    """(N, 2) unit vectors along the longer side of each polygon's minimum rotated rectangle."""
    corners = shapely.get_coordinates([shapely.minimum_rotated_rectangle(item) for item in shapely.force_2d(polygons)])
    corners = corners.reshape(len(polygons), 5, 2)
    sides = corners[:, 1:3] - corners[:, 0:2]  # (N, 2, 2)
    lengths = np.linalg.norm(sides, axis=-1)
    longer = lengths.argmax(1)
    rows = np.arange(len(polygons))
    return sides[rows, longer] / np.maximum(lengths[rows, longer], 1e-9)[:, None]


def outer_and_inner(polygons: NDArray) -> NDArray:
    """(M,) closed LineStrings: exteriors clockwise, interiors counter-clockwise, so the surface is on the right."""
    if not len(polygons):
        return np.zeros(0, dtype=object)
    rings = shapely.get_rings(polygons)  # of each polygon the exterior, then its interiors
    counts = 1 + shapely.get_num_interior_rings(polygons)
    is_outer = np.zeros(len(rings), dtype=bool)
    is_outer[np.cumsum(counts) - counts] = True
    wrong = shapely.is_ccw(rings) == is_outer
    return _as_lines(np.where(wrong, shapely.reverse(rings), rings))


def oriented_rings(lines: NDArray) -> NDArray:
    """Given outlines: a ring inside an even number of others is outer, else inner; open lines keep their direction."""
    closed = shapely.is_closed(lines) & (shapely.get_num_points(lines) >= 4)
    if not closed.any():
        return lines
    areas = shapely.polygons([shapely.linearrings(shapely.get_coordinates(line)) for line in lines[closed]])
    valid = shapely.make_valid(areas)
    inside, _ = shapely.STRtree(valid).query(valid, predicate="within")
    depth = np.bincount(inside, minlength=len(areas)) - 1  # each lies in itself
    is_outer = depth % 2 == 0
    oriented = lines.copy()
    wrong = shapely.is_ccw(shapely.get_exterior_ring(areas)) == is_outer
    oriented[closed] = np.where(wrong, shapely.reverse(lines[closed]), lines[closed])
    return oriented


def _as_lines(rings: NDArray) -> NDArray:
    has_z = bool(shapely.has_z(rings).all())
    coords, index = shapely.get_coordinates(rings, include_z=has_z, return_index=True)
    return shapely.linestrings(coords, indices=index)
