"""The town's map as a nuScenes map expansion file (version 1.3) and as the mask of its streets."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from shapely import Polygon

from .canvas import Canvas
from .curves import STRAIGHT_PER_M, Curve
from .elements import DistrictMap, Lane, PaintedLine
from .tokens import token
from .world import World

__all__ = ["LOCATION", "canvas_edge_m", "write_map", "write_mask"]

LOCATION = "singapore-onenorth"  # the devkit accepts only its four names
MASK_M = 0.1
EDGE_MARGIN_M = 60.0
TRAFFIC_LIGHT_M = 4.5
SEGMENT_TYPES = {
    "DASHED_WHITE": "DOUBLE_DASHED_WHITE",
    "SOLID_WHITE": "SINGLE_SOLID_WHITE",
    "DASHED_YELLOW": "SINGLE_ZIGZAG_WHITE",
    "SOLID_YELLOW": "SINGLE_SOLID_YELLOW",
    "DOUBLE_SOLID_YELLOW": "DOUBLE_SOLID_YELLOW",
    "NONE": "NIL",
}


class Layers:
    """The file's layers while they are filled; geometry is nodes, and polygons and lines of nodes.

    Args:
        name: what makes this map's tokens its own.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        geometric = ("polygon", "line", "node")
        polygonal = (
            "drivable_area",
            "road_segment",
            "road_block",
            "lane",
            "ped_crossing",
            "walkway",
            "stop_line",
            "carpark_area",
            "lane_connector",
        )
        linear = ("road_divider", "lane_divider", "traffic_light")
        self.records: dict[str, list[dict]] = {layer: [] for layer in (*geometric, *polygonal, *linear)}
        self.arclines: dict[str, list[dict]] = {}
        self.connectivity: dict[str, dict] = {}

    def add(self, layer: str, **record: object) -> str:
        """Append a record and return its token."""
        made = token(self._name, layer, len(self.records[layer]))
        self.records[layer].append({"token": made, **record})
        return made

    def nodes(self, points: NDArray) -> list[str]:
        """Tokens of new nodes."""
        return [self.add("node", x=float(x), y=float(y)) for x, y in np.round(points, 4)]

    def line(self, points: NDArray) -> str:
        """Token of a new line."""
        return self.add("line", node_tokens=self.nodes(points))

    def polygon(self, shape: Polygon | NDArray) -> str:
        """Token of a new polygon; an (n, 2) outline does not repeat its first vertex."""
        exterior, holes = (shape, []) if isinstance(shape, np.ndarray) else _rings(shape)
        return self.add(
            "polygon", exterior_node_tokens=self.nodes(exterior), holes=[{"node_tokens": self.nodes(h)} for h in holes]
        )


def _rings(shape: Polygon) -> tuple[NDArray, list[NDArray]]:
    return np.asarray(shape.exterior.coords)[:-1], [np.asarray(ring.coords)[:-1] for ring in shape.interiors]


def write_map(root: Path, world: World) -> None:
    """Write ``maps/expansion/<location>.json``."""
    layers = Layers(f"town-{world.seed}")
    for district in world.districts:
        _add_district(layers, district.map)
    content = {
        "version": "1.3",
        **layers.records,
        "arcline_path_3": layers.arclines,
        "connectivity": layers.connectivity,
        "canvas_edge": canvas_edge_m(world),
    }
    path = root / "maps" / "expansion" / f"{LOCATION}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def canvas_edge_m(world: World) -> list[float]:
    """Width and height of the map's canvas, metres, its origin at (0, 0)."""
    high = np.array([district.map.drivable.bounds[2:] for district in world.districts]).max(0) + EDGE_MARGIN_M
    return [float(np.ceil(value)) for value in high]


def write_mask(root: Path, world: World, filename: str) -> None:
    """Write the mask of streets and sidewalks, 0.1 m a pixel, where ``map.json`` and the base map expect it."""
    width, height = canvas_edge_m(world)
    canvas = Canvas(np.zeros(2), (round(height / MASK_M), round(width / MASK_M)), MASK_M)
    mask = np.zeros(canvas.shape, np.uint8)
    for district in world.districts:
        shapes = [*district.map.drivable.geoms, *district.map.sidewalks]
        for shape in shapes:
            exterior, holes = _rings(shape)
            canvas.fill(mask, [exterior, *holes], 255, smooth=False)
    basemap = root / "maps" / "basemap" / f"{LOCATION}.png"
    basemap.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(basemap), mask[::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    shutil.copyfile(basemap, root / filename)


def _add_district(layers: Layers, district: DistrictMap) -> None:
    area = layers.add("drivable_area", polygon_tokens=[layers.polygon(part) for part in district.drivable.geoms])
    roads = _add_roads(layers, district, area)
    junctions = [
        layers.add(
            "road_segment", polygon_token=layers.polygon(outline), is_intersection=True, drivable_area_token=area
        )
        for outline in district.junction_outlines
    ]
    for sidewalk in district.sidewalks:
        layers.add("walkway", polygon_token=layers.polygon(sidewalk))
    crossings: dict[tuple[int, int | None], list[str]] = {}
    for crossing in district.crossings:
        home = roads[crossing.road] if crossing.junction is None else junctions[crossing.junction]
        made = layers.add("ped_crossing", polygon_token=layers.polygon(crossing.outline), road_segment_token=home)
        crossings.setdefault((crossing.road, crossing.junction), []).append(made)
    blocks = _add_blocks(layers, district, roads)
    _add_stop_lines(layers, district, blocks, crossings)
    _add_lanes(layers, district)
    for line in district.lines:
        _add_divider(layers, district, line, roads)


def _add_roads(layers: Layers, district: DistrictMap, area: str) -> list[str]:
    tokens = []
    for i, outline in enumerate(district.road_outlines):
        islands = [island for road, island in district.islands if road == i]
        shape = Polygon(outline, islands) if islands else outline
        tokens.append(
            layers.add(
                "road_segment", polygon_token=layers.polygon(shape), is_intersection=False, drivable_area_token=area
            )
        )
    return tokens


def _add_blocks(layers: Layers, district: DistrictMap, roads: list[str]) -> dict[tuple[int, bool], str]:
    """A road block is all lanes of one direction; keyed by road and direction."""
    blocks = {}
    for i, road in enumerate(district.network.roads):
        for is_forward in (True, False):
            edges = road.section.lane_edges(is_forward)
            if len(edges) < 2:
                continue
            sides = road.curve.line(min(edges)), road.curve.line(max(edges))
            mouths = [np.stack([side[k] for side in sides]) for k in ((0, -1) if is_forward else (-1, 0))]
            blocks[i, is_forward] = layers.add(
                "road_block",
                polygon_token=layers.polygon(np.concatenate([sides[0], sides[1][::-1]])),
                from_edge_line_token=layers.line(mouths[0]),
                to_edge_line_token=layers.line(mouths[1]),
                road_segment_token=roads[i],
            )
    return blocks


def _add_stop_lines(layers: Layers, district: DistrictMap, blocks: dict, crossings: dict) -> None:
    for stop in district.stop_lines:
        block = blocks[stop.road, not stop.at_start]
        cues = crossings.get((stop.road, stop.junction), [])
        lights = []
        if not cues:
            ends = stop.outline[:2]
            lights = [
                layers.add(
                    "traffic_light",
                    line_token=layers.line(ends),
                    traffic_light_type="VERTICAL",
                    from_road_block_token=block,
                    items=[],
                    pose={
                        "tx": float(ends[0, 0]),
                        "ty": float(ends[0, 1]),
                        "tz": TRAFFIC_LIGHT_M,
                        "rx": 0.0,
                        "ry": 0.0,
                        "rz": 0.0,
                    },
                )
            ]
        layers.add(
            "stop_line",
            polygon_token=layers.polygon(stop.outline),
            stop_line_type="PED_CROSSING" if cues else "TRAFFIC_LIGHT",
            ped_crossing_tokens=cues,
            traffic_light_tokens=lights,
            road_block_token=block,
        )


def _add_lanes(layers: Layers, district: DistrictMap) -> None:
    lanes = [_add_lane(layers, lane) for lane in district.lanes]
    ways: dict[str, dict[str, list[str]]] = {lane: {"incoming": [], "outgoing": []} for lane in lanes}
    for connector in district.connectors:
        outline = np.concatenate([connector.edge(-1), connector.edge(1)[::-1]])
        polygon = layers.polygon(outline)
        made = layers.add("lane_connector", polygon_token=polygon)
        layers.arclines[made] = _arclines(connector.curve)
        before, after = lanes[connector.from_lane], lanes[connector.to_lane]
        ways[made] = {"incoming": [before], "outgoing": [after]}
        ways[before]["outgoing"].append(made)
        ways[after]["incoming"].append(made)
    layers.connectivity.update(ways)


def _add_lane(layers: Layers, lane: Lane) -> str:
    mouths = [np.stack([lane.right[k], lane.left[k]]) for k in (0, -1)]
    sides = {
        name: [{"node_token": node, "segment_type": SEGMENT_TYPES[mark]} for node in layers.nodes(edge)]
        for name, edge, mark in (("left", lane.left, lane.left_mark), ("right", lane.right, lane.right_mark))
    }
    made = layers.add(
        "lane",
        polygon_token=layers.polygon(np.concatenate([lane.right, lane.left[::-1]])),
        lane_type="CAR",
        from_edge_line_token=layers.line(mouths[0]),
        to_edge_line_token=layers.line(mouths[1]),
        left_lane_divider_segments=sides["left"],
        right_lane_divider_segments=sides["right"],
    )
    layers.arclines[made] = _arclines(lane.curve)
    return made


def _arclines(curve: Curve) -> list[dict]:
    """One arcline path a piece: an arc is the first of the three parts, the others have no length."""
    paths = []
    for k, (length, curvature) in enumerate(zip(curve.lengths, curve.curvatures, strict=True)):
        is_straight = abs(curvature) < STRAIGHT_PER_M
        lengths = [0.0, float(length), 0.0] if is_straight else [float(length), 0.0, 0.0]
        paths.append(
            {
                "start_pose": [float(value) for value in curve.joints[k]],
                "end_pose": [float(value) for value in curve.joints[k + 1]],
                "shape": "RSR" if curvature < 0 else "LSL",
                "radius": 999.999 if is_straight else float(1.0 / abs(curvature)),
                "segment_length": lengths,
            }
        )
    return paths


def _add_divider(layers: Layers, district: DistrictMap, line: PaintedLine, roads: list[str]) -> None:
    road = district.network.roads[line.road]
    stations = road.curve.stations(*line.span)
    nodes = layers.nodes(road.curve.line(line.left_m, *line.span))
    solid = [any(low <= at <= high for low, high in line.solid) for at in stations]
    segments = [
        {"node_token": node, "segment_type": SEGMENT_TYPES["SOLID_WHITE" if is_solid else line.style]}
        for node, is_solid in zip(nodes, solid, strict=True)
    ]
    record = {"line_token": layers.add("line", node_tokens=nodes), f"{line.layer}_segments": segments}
    if line.layer == "road_divider":
        record["road_segment_token"] = roads[line.road]
    layers.add(line.layer, **record)
