"""Cut crossings to a patch: a crossing stays an area, so its clipped ring is closed along the border."""

import numpy as np
import shapely
from numpy.typing import NDArray

from mapstack.geometry.se3 import invert

from .clip import Box, patch_in_world

__all__ = ["CrossingIndex"]

MIN_AREA_M2 = 1e-4
ON_RING_M = 1e-6


class CrossingIndex:
    """N crossings under a spatial index.

    Args:
        polygons: (N,) valid shapely Polygons, world metres.
    """

    def __init__(self, polygons: NDArray) -> None:
        self.rings = [self._counter_clockwise(ring) for polygon in polygons for ring in self._rings_of(polygon)]
        self.tree = shapely.STRtree(polygons)
        counts = 1 + shapely.get_num_interior_rings(polygons) if len(polygons) else np.zeros(0, dtype=int)
        self.first = np.cumsum(counts) - counts
        self.counts = counts

    @staticmethod
    def _rings_of(polygon: shapely.Polygon) -> list[NDArray]:
        return [shapely.get_coordinates(ring, include_z=polygon.has_z) for ring in shapely.get_rings(polygon)]

    @staticmethod
    def _counter_clockwise(ring: NDArray) -> NDArray:
        return ring if shapely.is_ccw(shapely.linearrings(ring)) else ring[::-1]

    def clip(self, world_from_ego: NDArray, box: Box, patch: shapely.Polygon | None = None) -> list[NDArray]:
        """Closed rings of what lies in ``box``, ego metres, counter-clockwise; z is relative to the ego.

        A ring that is all inside keeps its vertices. One that is cut is closed along the border; where a crossing falls
        apart, each part is a ring. Cut points take z from the edge they lie on, corners of the box from the plane
        through the crossing.

        Args:
            world_from_ego: (4, 4), a rotation about z and a translation.
            box: (x_min, y_min, x_max, y_max), ego metres.
            patch: :func:`mapstack.maps.clip.patch_in_world` of the two, where the caller has it already.
        """
        patch = patch_in_world(world_from_ego, box) if patch is None else patch
        ego_from_world = invert(world_from_ego)
        clipped: list[NDArray] = []
        for hit in np.sort(self.tree.query(patch, predicate="intersects")):
            for ring in self.rings[self.first[hit] : self.first[hit] + self.counts[hit]]:
                dims = ring.shape[1]
                ring_ego = ring @ ego_from_world[:dims, :dims].T + ego_from_world[:dims, 3]
                inside = (ring_ego[:, :2] >= box[:2]).all() and (ring_ego[:, :2] <= box[2:]).all()
                clipped += [ring_ego] if inside else _cut(ring_ego, box)
        return clipped


def _cut(ring: NDArray, box: Box) -> list[NDArray]:
    parts = shapely.get_parts(shapely.clip_by_rect(shapely.polygons(ring[:, :2]), *box))
    kept = []
    for part in parts[(shapely.get_type_id(parts) == 3) & (shapely.area(parts) > MIN_AREA_M2)]:
        xy = shapely.get_coordinates(shapely.get_exterior_ring(part))
        xy = xy if shapely.is_ccw(shapely.linearrings(xy)) else xy[::-1]
        xy = np.clip(xy, box[:2], box[2:])
        kept.append(xy if ring.shape[1] == 2 else np.column_stack([xy, _heights(xy, ring)]))
    return kept


def _heights(xy: NDArray, ring: NDArray) -> NDArray:
    """(n,) z of points on or in a 3-D ring."""
    start, step = ring[:-1], np.diff(ring, axis=0)
    squared = np.maximum((step[:, :2] ** 2).sum(1), 1e-18)
    along = np.clip(((xy[:, None] - start[:, :2]) * step[:, :2]).sum(-1) / squared, 0.0, 1.0)  # (n, edges)
    foot = start + along[..., None] * step
    away = np.linalg.norm(foot[..., :2] - xy[:, None], axis=-1)
    rows, edge = np.arange(len(xy)), away.argmin(1)
    on_ring = away[rows, edge] <= ON_RING_M
    heights = foot[rows, edge, 2]
    if not on_ring.all():
        plane = np.column_stack([ring[:-1, :2], np.ones(len(ring) - 1)])
        coefficients = np.linalg.lstsq(plane, ring[:-1, 2], rcond=None)[0]
        heights = np.where(on_ring, heights, np.column_stack([xy, np.ones(len(xy))]) @ coefficients)
    return heights
