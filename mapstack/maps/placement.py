"""How well a street map lies on a drive and on its HD map."""

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from .layers import OUTLINES, SURFACES
from .polygons import unite
from .prior_lines import PriorLines
from .vector_map import VectorMap

__all__ = ["Placement", "drivable_surface", "measure_placement"]

STEP_M = 1.0


@dataclass(frozen=True)
class Placement:
    """Measured by :func:`measure_placement`.

    Args:
        median_m: from a place of the ego track to the nearest street.
        p90_m: the ninth decile of the same.
        max_m: the largest.
        num_samples: points a metre apart on streets near the track.
        share_inside: of them, those on the drivable surface; NaN where there are none.
    """

    median_m: float
    p90_m: float
    max_m: float
    num_samples: int
    share_inside: float


def drivable_surface(vector_map: VectorMap) -> shapely.Geometry:
    """The ground that a map calls road: its surfaces, or what its closed outlines enclose by the even-odd rule."""
    if OUTLINES in vector_map.layers:
        lines = vector_map.layers[OUTLINES].geometries
        closed = lines[shapely.is_closed(lines) & (shapely.get_num_points(lines) >= 4)]
        rings = shapely.make_valid([shapely.Polygon(shapely.get_coordinates(ring)) for ring in closed])
        return shapely.symmetric_difference_all(rings) if len(rings) else shapely.Polygon()
    surfaces = [vector_map.polygons(name) for name in SURFACES if name in vector_map.layers]
    return shapely.union_all(unite(np.concatenate(surfaces))) if surfaces else shapely.Polygon()


def measure_placement(lines: PriorLines, track: NDArray, surface: shapely.Geometry, reach_m: float = 30.0) -> Placement:
    """Compare streets with a drive.

    Args:
        lines: streets, world metres.
        track: (M, >= 2) places of the ego vehicle, world metres.
        surface: :func:`drivable_surface` of the HD map.
        reach_m: streets farther from the track are left out: an HD map ends somewhere.
    """
    distance = lines.distance_m(track)
    near = shapely.buffer(shapely.multipoints(np.asarray(track, float)[:, :2]), reach_m)
    parts = [part for line in lines.lines for part in shapely.get_parts(shapely.intersection(line, near))]
    samples = [shapely.line_interpolate_point(part, np.arange(0.0, part.length, STEP_M)) for part in parts]
    points = shapely.get_coordinates(np.concatenate(samples)) if samples else np.zeros((0, 2))
    shapely.prepare(surface)
    inside = shapely.contains_xy(surface, points)
    return Placement(
        median_m=float(np.median(distance)),
        p90_m=float(np.percentile(distance, 90)),
        max_m=float(distance.max()),
        num_samples=len(points),
        share_inside=float(inside.mean()) if len(points) else float("nan"),
    )
