"""Predicted elements as GeoJSON in world metres, in the form that :func:`mapstack.maps.load_geojson` reads."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mapstack.geometry.se3 import planar_pose, transform_points

__all__ = ["prediction_geojson"]

FORMAT_VERSION = 1  # of the member "mapstack", as mapstack.maps.geojson has it
LAYERS = {"divider": "lane_divider", "ped_crossing": "ped_crossing", "boundary": "boundary", "centerline": "centerline"}
AREAS = frozenset({"ped_crossing"})
MIN_LENGTH_M = 0.1  # a line that collapsed to a point describes nothing
DECIMALS = 3


def prediction_geojson(
    vertices: Sequence[NDArray],
    labels: NDArray,
    scores: NDArray,
    classes: Sequence[str],
    world_from_ego: NDArray,
    name: str,
) -> dict:
    """One frame's predictions as a FeatureCollection.

    Elements shorter than ``MIN_LENGTH_M`` are left out, and crossings of fewer than three different corners.

    Args:
        vertices: N arrays (n_i, 2 or 3), metres of the gravity-aligned ego frame.
        labels: (N,) index into ``classes``.
        scores: (N,) in [0, 1].
        classes: in label order.
        world_from_ego: (4, 4); its roll and pitch are taken out, as when truth is cut.
        name: of the map: token, scene.

    Returns:
        A dict for ``json.dump``; coordinates are world metres, not degrees.
    """
    world_from_patch = planar_pose(np.asarray(world_from_ego, dtype=float))
    features = []
    for index, (line, label, score) in enumerate(zip(vertices, labels, scores, strict=True)):
        kind = classes[int(label)]
        flat = np.asarray(line, dtype=float)
        if np.linalg.norm(np.diff(flat[:, :2], axis=0), axis=1).sum() < MIN_LENGTH_M:
            continue
        geometry = _geometry(kind, _in_world(world_from_patch, flat))
        if geometry is not None:
            properties = {"layer": LAYERS.get(kind, kind), "class": kind, "score": round(float(score), 4)}
            token = {"token": f"{name}_{index}", **({"successors": []} if kind == "centerline" else {})}
            features.append({"type": "Feature", "properties": {**properties, **token}, "geometry": geometry})
    about = {"version": FORMAT_VERSION, "name": name, "source": "prediction", "units": "world metres"}
    return {"type": "FeatureCollection", "mapstack": about, "features": features}


def _in_world(world_from_patch: NDArray, line: NDArray) -> NDArray:
    lifted = line if line.shape[1] == 3 else np.column_stack([line, np.zeros(len(line))])
    return np.round(transform_points(world_from_patch, lifted)[:, : line.shape[1]], DECIMALS)


def _geometry(kind: str, line: NDArray) -> dict | None:
    if kind not in AREAS:
        return {"type": "LineString", "coordinates": line.tolist()}
    ring = line.tolist()
    if len({tuple(corner) for corner in ring}) < 3:
        return None
    if ring[0] != ring[-1]:
        ring.append(ring[0])
    return {"type": "Polygon", "coordinates": [ring]}
