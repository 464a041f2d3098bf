import numpy as np
import pytest
import shapely

from mapstack.maps import DIVIDER_RULES, MapLayer, VectorMap
from mapstack.maps.polygons import oriented_rings

LENGTH = 40.0


def road(lanes: list[dict]) -> VectorMap:
    """Lanes side by side along x; ``y`` is the right side of an eastbound lane, 3.5 m wide."""
    vertices, attributes = [], []
    for lane in lanes:
        x = [lane.get("x", 0.0), lane.get("x", 0.0) + LENGTH]
        ys = {"left": lane["y"] + 3.5, "right": lane["y"]}
        if lane.get("west"):
            x, ys = x[::-1], {"left": lane["y"], "right": lane["y"] + 3.5}
        for side, y in ys.items():
            vertices.append(np.array([[x[0], y], [np.mean(x), y], [x[1], y]]))
            about = {"token": f"{lane['id']}_{side}", "lane": lane["id"], "side": side, "mark": lane.get(side, "NONE")}
            neighbour = lane.get(f"{side}_of")
            attributes.append({**about, "neighbour": neighbour, "is_intersection": lane.get("crossing", False)})
    return VectorMap({"lane_boundary": MapLayer.from_lines(vertices, attributes)})


def heights(vector_map: VectorMap, rule: str) -> list[float]:
    return sorted(shapely.get_coordinates(line)[0, 1] for line in vector_map.elements("divider", rule))


TWO_EAST = [
    {"id": 1, "y": 0, "left_of": 2, "left": "DASHED_WHITE"},
    {"id": 2, "y": 3.5, "right_of": 1, "left": "SOLID_WHITE"},
]
OPPOSITE = [
    {"id": 1, "y": 0, "left_of": 2, "left": "SOLID_YELLOW"},
    {"id": 2, "y": 3.5, "west": True, "left_of": 1, "left": "SOLID_YELLOW"},
]


def test_every_rule_tells_a_shared_line_once() -> None:
    assert heights(road(TWO_EAST), "maptrv2") == [3.5]
    assert heights(road(TWO_EAST), "neighbour") == [3.5]
    assert heights(road(TWO_EAST), "painted") == [3.5, 7.0]


def test_maptrv2_loses_the_centre_line_of_opposite_lanes_and_neighbour_keeps_it() -> None:
    assert heights(road(OPPOSITE), "maptrv2") == []
    assert heights(road(OPPOSITE), "neighbour") == [3.5]
    assert heights(road(OPPOSITE), "painted") == [3.5]


def test_intersections_have_paint_but_no_neighbour_dividers() -> None:
    inside = [{**lane, "crossing": True} for lane in TWO_EAST]
    assert heights(road(inside), "maptrv2") == heights(road(inside), "neighbour") == []
    assert heights(road(inside), "painted") == [3.5, 7.0]


def test_unpainted_sides_are_neighbour_dividers_only() -> None:
    bare = [{**lane, "left": "NONE"} for lane in TWO_EAST]
    assert heights(road(bare), "maptrv2") == [3.5]
    assert heights(road(bare), "painted") == []
    unknown = [{**lane, "left": "UNKNOWN"} for lane in TWO_EAST]
    assert heights(road(unknown), "painted") == []


def test_consecutive_lanes_make_one_line() -> None:
    onward = [{**lane, "id": lane["id"] + 10, "x": LENGTH} for lane in TWO_EAST]
    onward[0]["left_of"], onward[1]["right_of"] = 12, 11
    (line,) = road(TWO_EAST + onward).elements("divider", "neighbour")
    assert shapely.length(line) == pytest.approx(2 * LENGTH)


def test_painted_leaves_out_the_kerb() -> None:
    vector_map = road(TWO_EAST)
    vector_map.layers["drivable_area"] = MapLayer.from_polygons([np.array([[-5, 0], [50, 0], [50, 7.1], [-5, 7.1]])])
    assert heights(vector_map, "painted") == [3.5]


def test_lines_that_the_source_calls_dividers_are_taken_one_by_one() -> None:
    lines = [np.array([[0.0, 0.0], [10.0, 0.0]]), np.array([[10.0, 0.0], [20.0, 0.0]])]
    given = MapLayer.from_lines(lines)
    for rule in DIVIDER_RULES:
        assert len(VectorMap({"lane_divider": given, "road_divider": given}).elements("divider", rule)) == 4


def crossings(*angles_deg: float) -> VectorMap:
    """Strips 10 x 3 m through one point."""
    strip = np.array([[-5, -1.5], [5, -1.5], [5, 1.5], [-5, 1.5]])
    turns = [np.radians(angle) for angle in angles_deg]
    rings = [strip @ np.array([[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]]) for t in turns]
    return VectorMap({"ped_crossing": MapLayer.from_polygons(rings)})


def test_crossing_rules_differ_in_the_angle_they_unite() -> None:
    count = {
        rule: len(crossings(0, 5, 90).elements("ped_crossing", rule)) for rule in ("parallel", "union", "separate")
    }
    assert count == {"parallel": 2, "union": 1, "separate": 3}
    assert len(crossings(0, 175).elements("ped_crossing", "parallel")) == 1, "directions have no sign"


def test_crossings_that_do_not_touch_stay_apart() -> None:
    vector_map = crossings(0)
    (strip,) = vector_map.layers["ped_crossing"].geometries
    away = shapely.transform(strip, lambda xy: xy + [0.0, 3.2])
    both = VectorMap({"ped_crossing": MapLayer(np.array([strip, away]), ({}, {}))})
    assert len(both.elements("ped_crossing", "parallel")) == 2


def test_boundary_is_the_outline_of_all_surfaces_with_the_road_on_its_right() -> None:
    street = np.array([[0, 0], [50, 0], [50, 7], [0, 7]], dtype=float)
    island = np.array([[20, 3], [24, 3], [24, 4], [20, 4]], dtype=float)
    lane = np.array([[50, 0], [80, 0], [80, 3.5], [50, 3.5]], dtype=float)
    layers = {
        "road_segment": MapLayer.from_polygons([street], holes=[[island]]),
        "lane": MapLayer.from_polygons([lane]),
    }
    outer, inner = VectorMap(layers).elements("boundary")
    assert not shapely.is_ccw(outer) and shapely.is_ccw(inner)
    assert shapely.length(outer) == pytest.approx(2 * 80 + 7 + 3.5 + 3.5)
    for ring in (outer, inner):
        start, end = shapely.get_coordinates(ring)[:2]
        right = (start + end) / 2 + 0.1 * np.array([(end - start)[1], -(end - start)[0]]) / np.linalg.norm(end - start)
        surface = shapely.union_all(np.concatenate([layer.geometries for layer in layers.values()]))
        assert surface.contains(shapely.points(right))


def test_given_outlines_are_turned_by_nesting() -> None:
    def square(half: float) -> shapely.LineString:
        return shapely.linestrings(np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]]) * half)

    rings = oriented_rings(np.array([square(1), square(9), square(4), shapely.linestrings([[20, 0], [30, 0]])]))
    assert [bool(shapely.is_ccw(ring)) for ring in rings[:3]] == [False, False, True]
    np.testing.assert_array_equal(shapely.get_coordinates(rings[3]), [[20, 0], [30, 0]])


def test_a_self_crossing_polygon_is_repaired_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    bow_tie = np.array([[0, 0], [4, 4], [4, 0], [0, 4]], dtype=float)
    layer = MapLayer.from_polygons([bow_tie], [{"token": "tie"}])
    vector_map = VectorMap({"ped_crossing": layer}, name="town")
    halves = vector_map.elements("ped_crossing", "separate")
    assert len(halves) == 2 and shapely.is_valid(halves).all() and shapely.area(halves).sum() == pytest.approx(8.0)
    assert vector_map.repairs == {"ped_crossing": ["tie"]}
    assert "town" in caplog.text and "tie" in caplog.text


def centerlines(links: list[tuple[str, list[str]]]) -> VectorMap:
    lines = [np.array([[10.0 * i, 0.0], [10.0 * (i + 1), 0.0]]) for i in range(len(links))]
    about = [{"token": token, "successors": after} for token, after in links]
    return VectorMap({"centerline": MapLayer.from_lines(lines, about)})


def test_centerlines_are_chained_up_to_forks_and_merges() -> None:
    assert len(centerlines([("a", ["b"]), ("b", ["c"]), ("c", ["elsewhere"])]).elements("centerline")) == 1
    fork = centerlines([("a", ["b"]), ("b", ["c", "d"]), ("c", []), ("d", [])]).elements("centerline")
    assert sorted(shapely.length(fork).tolist()) == [10.0, 10.0, 20.0]
    merge = centerlines([("a", ["c"]), ("b", ["c"]), ("c", ["d"]), ("d", [])]).elements("centerline")
    assert len(merge) == 3


def test_a_loop_of_lanes_does_not_vanish() -> None:
    (loop,) = centerlines([("a", ["b"]), ("b", ["c"]), ("c", ["a"])]).elements("centerline")
    assert len(shapely.get_coordinates(loop)) >= 4


def test_centerlines_without_links_are_joined_where_they_meet_in_their_direction() -> None:
    lines = [
        np.array([[10.0, 0.0], [20.0, 0.0]]),
        np.array([[0.0, 0.0], [10.0, 0.0]]),
        np.array([[30.0, 0], [20.0, 0.0]]),
    ]
    chained = VectorMap({"centerline": MapLayer.from_lines(lines)}).elements("centerline")
    ends = sorted(tuple(shapely.get_coordinates(line)[[0, -1], 0]) for line in chained)
    assert ends == [(0.0, 20.0), (30.0, 20.0)]
