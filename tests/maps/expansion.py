"""A nuScenes map expansion file small enough to check by hand; the real NuScenesMap opens it.

A two-lane street along x from 0 to 100, y from 0 to 7, that ends in a junction from x = 100 to 120, y from -10 to 17.
Lane "east" runs below the lane divider at y = 3.5, "west" above it; a connector turns left out of "east".
"""

import json
from math import pi
from pathlib import Path

LOCATION = "singapore-onenorth"


class Expansion:
    """Records under construction."""

    def __init__(self) -> None:
        self.content: dict = {
            "version": "1.3",
            "canvas_edge": [500.0, 500.0],
            "arcline_path_3": {},
            "connectivity": {},
        }
        lists = "polygon line node drivable_area road_segment road_block lane ped_crossing walkway stop_line"
        for name in f"{lists} carpark_area road_divider lane_divider traffic_light lane_connector".split():
            self.content[name] = []

    def nodes(self, points: list) -> list[str]:
        tokens = [f"n{len(self.content['node']) + i}" for i in range(len(points))]
        self.content["node"] += [{"token": t, "x": x, "y": y} for t, (x, y) in zip(tokens, points, strict=True)]
        return tokens

    def polygon(self, points: list, holes: tuple = ()) -> str:
        token = f"p{len(self.content['polygon'])}"
        inner = [{"node_tokens": self.nodes(hole)} for hole in holes]
        self.content["polygon"].append({"token": token, "exterior_node_tokens": self.nodes(points), "holes": inner})
        return token

    def line(self, points: list) -> str:
        token = f"l{len(self.content['line'])}"
        self.content["line"].append({"token": token, "node_tokens": self.nodes(points)})
        return token

    def add_area(self, layer: str, token: str, points: list, holes: tuple = (), **more: object) -> None:
        self.content[layer].append({"token": token, "polygon_token": self.polygon(points, holes), **more})

    def add_line(self, layer: str, token: str, points: list, **more: object) -> None:
        self.content[layer].append({"token": token, "line_token": self.line(points), **more})

    def add_path(self, token: str, start: tuple, lengths: list, radius: float, follow: list, before: list) -> None:
        end = (0.0, 0.0, 0.0)
        arc = {"start_pose": start, "end_pose": end, "shape": "LSL", "radius": radius, "segment_length": lengths}
        self.content["arcline_path_3"][token] = [arc]
        self.content["connectivity"][token] = {"incoming": before, "outgoing": follow}

    def write(self, dataroot: Path) -> Path:
        path = dataroot / "maps" / "expansion" / f"{LOCATION}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.content))
        return path


def rectangle(x0: float, y0: float, x1: float, y1: float) -> list:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def small_street() -> Expansion:
    street = Expansion()
    lane = {"lane_type": "CAR", "left_lane_divider_segments": [], "right_lane_divider_segments": []}
    lane |= {"from_edge_line_token": "", "to_edge_line_token": ""}
    street.add_area("lane", "east", rectangle(0, 0, 100, 3.5), **lane)
    street.add_area("lane", "west", rectangle(0, 3.5, 100, 7), **lane)
    street.add_area("road_segment", "junction", rectangle(100, -10, 120, 17), is_intersection=True)
    street.add_area(
        "road_segment", "street", rectangle(0, 0, 100, 7), (rectangle(60, 3, 64, 4),), is_intersection=False
    )
    segments = [{"node_token": "n0", "segment_type": "DOUBLE_DASHED_WHITE"}]
    street.add_line("lane_divider", "middle", [(0, 3.5), (50, 3.5), (100, 3.5)], lane_divider_segments=segments)
    street.add_line("lane_divider", "bare", [], lane_divider_segments=[])  # as the published maps have some
    street.add_line("road_divider", "edge", [(100, 3.5), (120, 3.5)], road_segment_token="junction")
    street.add_area("ped_crossing", "near", rectangle(40, 0, 43, 7), road_segment_token="street")
    street.add_area("ped_crossing", "far", rectangle(43, 0, 46, 7), road_segment_token="street")
    street.add_area("ped_crossing", "across", rectangle(46, 5, 60, 7), road_segment_token="street")
    street.add_area("ped_crossing", "bow tie", [(80, 0), (83, 7), (83, 0), (80, 7)], road_segment_token="street")
    street.content["lane_connector"].append({"token": "turn", "polygon_token": street.polygon([])})
    street.add_path("east", (0.0, 1.75, 0.0), [0.0, 100.0, 0.0], 999.0, ["turn"], [])
    street.add_path("west", (100.0, 5.25, pi), [0.0, 100.0, 0.0], 999.0, [], [])
    street.add_path("turn", (100.0, 1.75, 0.0), [5 * pi, 0.0, 0.0], 10.0, [], ["east"])
    return street
