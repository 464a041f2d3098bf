"""The SD map and the aged HD map: like the town, and unlike it, as much as they should be."""

from collections import Counter
from xml.etree import ElementTree

import numpy as np
import pytest
import shapely

from mapstack.datasets.town.osm import write_osm
from mapstack.geometry.geodesy import argoverse2_from_wgs84, nuscenes_from_wgs84
from mapstack.maps import load_geojson, load_nuscenes
from mapstack.maps.changes import read_changes

FRAMES = {
    "osm": lambda points: nuscenes_from_wgs84(points, "singapore-onenorth"),
    "osm_argoverse2": lambda points: argoverse2_from_wgs84(points, "PIT"),
}


def read_ways(path, to_world):
    root = ElementTree.parse(path).getroot()
    nodes = {node.get("id"): (float(node.get("lon")), float(node.get("lat"))) for node in root.iter("node")}
    for way in root.iter("way"):
        points = np.array([nodes[nd.get("ref")] for nd in way.iter("nd")])
        yield {tag.get("k"): tag.get("v") for tag in way.iter("tag")}, to_world(points)


@pytest.mark.parametrize("name", FRAMES)
def test_osm_streets_lie_a_little_off_the_true_ones(town, world, name):
    offsets, tags = [], Counter()
    roads = [road for district in world.districts for road in district.map.network.roads]
    true = shapely.union_all(
        [
            shapely.LineString(road.curve.line(left))
            for road in roads
            for left in (0.0, *(np.mean(road.section.lane_edges(f)) for f in (True, False)))
        ]
    )
    for about, points in read_ways(getattr(town, name), FRAMES[name]):
        tags.update(about.keys())
        offsets.append(shapely.distance(shapely.points(points[1:-1]), true))
    assert 0.4 < np.median(np.concatenate(offsets)) < 3.0
    assert tags["highway"] == tags["name"] == len(offsets) and tags["lanes"] >= 0.4 * len(offsets)
    assert 0.6 * len(roads) <= len(offsets) <= 1.5 * len(roads)


def test_osmnx_builds_a_street_graph(town):
    import osmnx

    graph = osmnx.graph_from_xml(town.osm, simplify=False, retain_all=True)
    assert len(graph.nodes) > 50
    assert {data["highway"] for _, _, data in graph.edges(data=True)} <= {
        "residential", "tertiary", "secondary", "primary",
    }  # fmt: skip


def test_streets_are_missing_from_osm(small_world, tmp_path):
    write_osm(tmp_path / "a.osm", tmp_path / "b.osm", small_world)
    names = {about["name"] for about, _ in read_ways(tmp_path / "a.osm", FRAMES["osm"])}
    total = sum(len(district.map.network.roads) for district in small_world.districts)
    assert 0.03 < 1.0 - len(names) / total < 0.3


def test_the_aged_map_differs_exactly_where_its_list_says(town):
    fresh, aged = load_nuscenes(town.nuscenes, "singapore-onenorth"), load_geojson(town.aged_map)
    changes = read_changes(town.aged_map.with_suffix(".changes.json"))
    assert {change.operation for change in changes} >= {"removed", "shifted", "reshaped"}
    for name in ("divider", "ped_crossing"):
        rule = {"divider": "maptrv2", "ped_crossing": "parallel"}[name]
        today = [shapely.get_coordinates(shape) for shape in fresh.elements(name, rule)]
        old = [shapely.get_coordinates(shape) for shape in aged.elements(name, rule)]
        listed = [change for change in changes if change.name == name]
        gone = [line for change in listed for line in change.before]
        shown = [line for change in listed for line in change.after]
        assert len(old) - len(shown) == len(today) - len(gone)
        for line in today:
            assert any(same(line, other) for other in old) != any(same(line, other) for other in gone)
        for line in shown:
            assert any(same(line, other) for other in old) and not any(same(line, other) for other in today)


def same(line, other):
    """Whether two polylines hold the same vertices, in whatever direction and from wherever they begin."""
    if len(line) != len(other):
        return False
    return np.abs(line[np.lexsort(line.T)] - other[np.lexsort(other.T)]).max() < 1e-3


def test_the_aged_boundary_differs_only_where_the_kerb_was_moved(town):
    fresh, aged = load_nuscenes(town.nuscenes, "singapore-onenorth"), load_geojson(town.aged_map)
    changes = [c for c in read_changes(town.aged_map.with_suffix(".changes.json")) if c.name == "boundary"]
    today = shapely.union_all(fresh.elements("boundary"))
    points = shapely.points(shapely.get_coordinates(aged.elements("boundary")))
    moved = shapely.distance(points, today)
    listed = shapely.union_all([shapely.LineString(line) for change in changes for line in change.after])
    assert moved.max() > 0.5
    assert (shapely.distance(points[moved > 0.31], listed) < 0.01).all()
    assert changes and all(abs(change.metres) <= 2.6 for change in changes)
