"""The SD map and the aged HD map: like the town, and unlike it, as much as they should be."""

import json
from collections import Counter
from xml.etree import ElementTree

import numpy as np
import pytest
import shapely

from mapstack.datasets.town.osm import write_osm
from mapstack.geometry.geodesy import argoverse2_from_wgs84, nuscenes_from_wgs84
from mapstack.maps import load_geojson, load_nuscenes

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
    changes = json.loads(town.aged_map.with_suffix(".changes.json").read_text())
    changed = {(change["layer"], change["token"]): change["operation"] for change in changes}
    assert len(changed) == len(changes) and set(changed.values()) >= {"removed", "shifted"}
    for name in ("lane_divider", "road_divider", "ped_crossing", "road_segment"):
        old = dict(zip(aged.layers[name].tokens, aged.layers[name].geometries, strict=True))
        for token, shape in zip(fresh.layers[name].tokens, fresh.layers[name].geometries, strict=True):
            operation = changed.get((name, token), "kept")
            assert (token in old) == (operation != "removed")
            if operation == "shifted":
                assert 0.3 < shapely.hausdorff_distance(shape, old[token]) < 9.0
            elif operation != "removed":
                assert shapely.equals_exact(shape, old[token], tolerance=1e-6)
            assert (f"{token}-added" in old) == (operation == "added")
    for name in ("lane", "centerline"):
        assert len(aged.layers[name]) == len(fresh.layers[name])


def test_ageing_does_not_depend_on_the_order_of_records(town):
    from mapstack.datasets.town.aged_map import _Ager, _alter_crossing
    from mapstack.maps import MapLayer

    layer = load_nuscenes(town.nuscenes, "singapore-onenorth").layers["ped_crossing"]
    turned = MapLayer(layer.geometries[::-1], tuple(reversed(layer.attributes)))
    first, second = _Ager(0), _Ager(0)
    for ager, source in ((first, layer), (second, turned)):
        ager.age("ped_crossing", source, _alter_crossing)
    assert sorted(map(str, first.changes)) == sorted(map(str, second.changes)) and first.changes
