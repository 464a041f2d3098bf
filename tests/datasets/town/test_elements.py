"""What the town's map says must be what stands on its ground."""

import numpy as np
import shapely
from shapely import LineString, Polygon


def _polygons(shape):
    return getattr(shape, "geoms", [shape])


def test_the_kerb_is_the_outline_of_roads_junctions_and_lanes(world):
    for district in world.districts:
        roads = [
            Polygon(outline, [island for road, island in district.map.islands if road == i])
            for i, outline in enumerate(district.map.road_outlines)
        ]
        junctions = [Polygon(outline) for outline in district.map.junction_outlines]
        lanes = [Polygon(np.concatenate([lane.right, lane.left[::-1]])) for lane in district.map.lanes]
        whole = shapely.union_all(roads + junctions + lanes)
        assert all(shape.is_valid for shape in roads + junctions + lanes)
        assert whole.symmetric_difference(district.map.drivable).area < 0.5
        rings = [len(part.interiors) for shape in (whole, district.map.drivable) for part in _polygons(shape)]
        assert len(set(rings)) == 1, "the union has slivers, which would be road boundaries"
        assert shapely.hausdorff_distance(whole.boundary, district.map.drivable.boundary) < 0.05


def test_lanes_and_connectors_join_without_a_gap(world):
    for district in world.districts:
        lanes = district.map.lanes
        assert district.map.connectors
        for connector in district.map.connectors:
            start, end = connector.curve.joints[0], connector.curve.joints[-1]
            before, after = lanes[connector.from_lane].curve.joints[-1], lanes[connector.to_lane].curve.joints[0]
            np.testing.assert_allclose(start[:2], before[:2], atol=1e-6)
            np.testing.assert_allclose(end[:2], after[:2], atol=1e-6)
            np.testing.assert_allclose(np.cos([start[2] - before[2], end[2] - after[2]]), 1.0, atol=1e-9)


def test_crossings_reach_from_kerb_to_kerb_and_meet_no_line(world):
    for district in world.districts:
        kerb = district.map.drivable.boundary
        roads = district.map.network.roads
        lines = [LineString(roads[line.road].curve.line(line.left_m, *line.span)) for line in district.map.lines]
        for crossing in district.map.crossings:
            assert shapely.distance(shapely.points(crossing.outline), kerb).max() < 0.05
            assert not any(line.intersects(Polygon(crossing.outline)) for line in lines)


def test_neighbours_share_the_line_between_them(world):
    for district in world.districts:
        lanes = district.map.lanes
        for lane in lanes:
            if lane.right_neighbor is not None:
                np.testing.assert_allclose(lane.right, lanes[lane.right_neighbor].left)
            if lane.left_neighbor is not None and lanes[lane.left_neighbor].is_forward != lane.is_forward:
                np.testing.assert_allclose(lane.left, lanes[lane.left_neighbor].left[::-1], atol=1e-9)
                assert lanes[lane.left_neighbor].left_neighbor == lanes.index(lane)


def test_nothing_stands_on_the_road(world):
    for district in world.districts:
        footprints = shapely.polygons(district.scenery.corners())
        on_ground = district.scenery.z[:, 0] < 0.5
        assert shapely.distance(footprints[on_ground], district.map.drivable).min() > 0.2


def test_a_town_has_the_variety_it_promises(small_world):
    districts = small_world.districts
    roads = [road for district in districts for road in district.map.network.roads]
    lanes = {road.section.forward + road.section.backward for road in roads}
    arms = [len(junction.arms) for district in districts for junction in district.map.network.junctions]
    assert lanes >= {2, 3, 4, 6} and {3, 4} <= set(arms)
    assert any(road.section.has_raised_median for road in roads) and any(road.crossings for road in roads)
    assert any(not road.section.backward for road in roads)
    assert max(abs(road.curve.curvatures).max() for road in roads) > 1 / 60
