"""A log's surroundings as an Argoverse 2 map archive, with the height of the ground."""

import json
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import LineString, Polygon
from shapely.ops import split

from .canvas import Canvas
from .elements import DistrictMap
from .ground import KERB_M

__all__ = ["CITY", "CITY_Z_M", "write_log_map"]

CITY = "PIT"
CITY_Z_M = 12.0  # height of the roads in the city frame: whoever forgets z shall notice
AROUND_M = 120.0
HEIGHT_MARGIN_M = 80.0
HEIGHT_RESOLUTION_M = 0.3
OVERLAP_M = 0.002  # the cut's ends, rounded, would leave slivers at the junctions
LANES_FROM, CROSSINGS_FROM, AREAS_FROM, STEP = 38_000_000, 2_300_000, 1_200_000, 20_000


def write_log_map(folder: Path, log: str, district: DistrictMap, number: int, track: NDArray) -> None:
    """Write the archive, the ground height and its transform.

    Args:
        folder: the log's ``map`` folder.
        log: its id.
        district: streets that the log drives on.
        number: of the district, for ids that no two districts share.
        track: (M, 2) where the log drives, world metres, which are the city's x and y.
    """
    folder.mkdir(parents=True, exist_ok=True)
    window = shapely.box(*(track.min(0) - AROUND_M), *(track.max(0) + AROUND_M))
    archive = {
        "pedestrian_crossings": _crossings(district, number, window),
        "lane_segments": _lanes(district, number, window),
        "drivable_areas": _areas(district, number, window),
    }
    (folder / f"log_map_archive_{log}____{CITY}_city_{10_000 + number}.json").write_text(json.dumps(archive))
    canvas = Canvas.around(track, HEIGHT_MARGIN_M, HEIGHT_RESOLUTION_M)
    raised = np.full(canvas.shape, 255, np.uint8)
    near = [part for part in district.drivable.geoms if part.intersects(window)]
    canvas.fill(raised, [np.asarray(ring.coords) for part in near for ring in (part.exterior, *part.interiors)], 0)
    # The API truncates, so that a point falls into the pixel whose lower corner lies below it.
    height = CITY_Z_M + KERB_M * (raised > 127)
    np.save(folder / f"{log}_ground_height_surface____{CITY}.npy", height.astype(np.float16))
    similarity = {"R": [1.0, 0.0, 0.0, 1.0], "t": (-canvas.origin).tolist(), "s": 1.0 / HEIGHT_RESOLUTION_M}
    (folder / f"{log}___img_Sim2_city.json").write_text(json.dumps(similarity))


def _points(line: NDArray) -> list[dict[str, float]]:
    return [{"x": x, "y": y, "z": CITY_Z_M} for x, y in np.round(line, 3).tolist()]


def _crossings(district: DistrictMap, number: int, window: Polygon) -> dict[str, dict]:
    found = {}
    for i, crossing in enumerate(district.crossings):
        if Polygon(crossing.outline).intersects(window):
            name = CROSSINGS_FROM + number * STEP + i
            edges = {f"edge{k + 1}": _points(crossing.edges[k]) for k in (0, 1)}
            found[str(name)] = {**edges, "id": name}
    return found


def _lanes(district: DistrictMap, number: int, window: Polygon) -> dict[str, dict]:
    """Lanes, and behind them in number the ways through junctions, which are lanes too."""
    base, count = LANES_FROM + number * STEP, len(district.lanes)
    ways: dict[int, tuple[list[int], list[int]]] = {i: ([], []) for i in range(count)}
    for k, connector in enumerate(district.connectors):
        ways[count + k] = ([connector.from_lane], [connector.to_lane])
        ways[connector.from_lane][1].append(count + k)
        ways[connector.to_lane][0].append(count + k)
    sides = [(lane.left, lane.right, lane.left_mark, lane.right_mark) for lane in district.lanes]
    sides += [(connector.edge(1), connector.edge(-1), "NONE", "NONE") for connector in district.connectors]
    neighbors = [(lane.left_neighbor, lane.right_neighbor) for lane in district.lanes]
    neighbors += [(None, None)] * len(district.connectors)
    found = {}
    for i, ((left, right, left_mark, right_mark), (before, after)) in enumerate(zip(sides, ways.values(), strict=True)):
        if not Polygon(np.concatenate([left, right[::-1]])).intersects(window):
            continue
        left_neighbor, right_neighbor = (None if n is None else base + n for n in neighbors[i])
        found[str(base + i)] = {
            "id": base + i,
            "is_intersection": i >= count,
            "lane_type": "VEHICLE",
            "left_lane_boundary": _points(left),
            "left_lane_mark_type": left_mark,
            "right_lane_boundary": _points(right),
            "right_lane_mark_type": right_mark,
            "successors": [base + n for n in after],
            "predecessors": [base + n for n in before],
            "left_neighbor_id": left_neighbor,
            "right_neighbor_id": right_neighbor,
        }
    return found


def _areas(district: DistrictMap, number: int, window: Polygon) -> dict[str, dict]:
    """Polygons without holes, as the archive wants them: a road with islands is cut along its median."""
    shapes: list[Polygon] = []
    for i, (road, outline) in enumerate(zip(district.network.roads, district.road_outlines, strict=True)):
        islands = [island for of_road, island in district.islands if of_road == i]
        if islands:
            middle = LineString(road.curve.line(sum(road.section.median) / 2.0, -1.0, road.curve.length + 1.0))
            halves = split(Polygon(outline, islands), middle).geoms
            shapes += [half.buffer(OVERLAP_M, join_style="mitre") for half in halves]
        else:
            shapes.append(Polygon(outline))
    shapes += [Polygon(outline) for outline in district.junction_outlines]
    found = {}
    for i, shape in enumerate(shapes):
        if shape.intersects(window):
            name = AREAS_FROM + number * STEP + i
            found[str(name)] = {"area_boundary": _points(np.asarray(shape.exterior.coords)), "id": name}
    return found
