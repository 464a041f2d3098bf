"""OpenStreetMap in every format: what is kept, where it lies, and what is refused."""

import bz2
import gzip
import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import shapely

from mapstack.errors import DataError
from mapstack.geometry import BEVGrid
from mapstack.geometry.geodesy import tangent_from_wgs84
from mapstack.maps import VectorMap, fetch_osm, load_osm
from mapstack.maps.osm import CAR_HIGHWAYS, OSM_CROSSINGS, ROADS, SIGNALS
from mapstack.maps.osm.extract import build_map
from mapstack.maps.osm.graphs import extract_of_graph
from mapstack.maps.prior_lines import PriorLines

from .conftest import pose_at
from .osm_writer import BOMB, ORIGIN, lon_lat, osm_xml, write_osm

# Spelled out, and not taken from the code: a missing comma there loses two types without a word.
CAR = """motorway motorway_link trunk trunk_link primary primary_link secondary secondary_link tertiary tertiary_link
unclassified residential living_street service road track busway bus_guideway""".split()
NOT_CAR = "footway cycleway path steps pedestrian bridleway corridor construction proposed".split()
STREET = [(0.0, 0.0), (50.0, 0.0), (100.0, 10.0)]


def roads(vector_map: VectorMap) -> dict[str, dict]:
    return {about["token"]: about for about in vector_map.layers[ROADS].attributes}


def vertices(vector_map: VectorMap, layer: str = ROADS) -> list[np.ndarray]:
    return [shapely.get_coordinates(line) for line in vector_map.layers[layer].geometries]


def test_every_street_that_a_car_can_use_is_kept_and_nothing_else(tmp_path: Path) -> None:
    ways = [([(0, 10.0 * i), (50, 10.0 * i)], {"highway": kind}) for i, kind in enumerate(CAR + NOT_CAR)]
    ways.append(([(0, -10), (9, -10), (9, -20), (0, -10)], {"highway": "service", "area": "yes"}))
    kept = roads(load_osm(write_osm(tmp_path / "a.osm", ways), ORIGIN))
    assert sorted(about["highway"] for about in kept.values()) == sorted(CAR) == sorted(CAR_HIGHWAYS)
    classes = {about["highway"]: about["road_class"] for about in kept.values()}
    assert classes["tertiary_link"] == "tertiary" and classes["living_street"] == "residential"
    assert {about["highway"] for about in kept.values() if about["link"]} == {k for k in CAR if k.endswith("_link")}


def test_tags_of_a_street_are_kept(tmp_path: Path) -> None:
    ways = [
        (STREET, {"highway": "primary", "lanes": "4", "oneway": "yes", "name": "Main", "bridge": "viaduct"}),
        ([(0, 50), (50, 50)], {"highway": "service", "oneway": "-1", "lanes": "2;3", "tunnel": "yes", "bridge": "no"}),
        ([(0, 90), (9, 99), (9, 90), (0, 90)], {"highway": "tertiary", "junction": "roundabout", "lanes": "many"}),
        ([(0, 120), (50, 120)], {"highway": "motorway", "oneway": "no", "maxspeed": "60"}),
    ]
    vector_map = load_osm(write_osm(tmp_path / "a.osm", ways), ORIGIN)
    one, two, three, four = (roads(vector_map)[token] for token in "1234")
    assert (one["lanes"], one["oneway"], one["name"], one["bridge"]) == (4, 1, "Main", True)
    assert (two["lanes"], two["oneway"], two["tunnel"], two["bridge"]) == (2, 1, True, False)
    np.testing.assert_allclose(vertices(vector_map)[1], [(50, 50), (0, 50)], atol=0.01)  # turned to where cars drive
    assert (three["lanes"], three["oneway"]) == (None, 1)
    assert (four["oneway"], four["maxspeed"]) == (0, "60")


def test_crossings_and_signals_become_lines_across_their_street(tmp_path: Path) -> None:
    walk = [(70.0, -9.0), (70.0, 4.0), (70.0, 12.0)]
    street = [(0.0, 0.0), (50.0, 0.0), (70.0, 4.0)]
    ways = [
        (street, {"highway": "primary", "lanes": "4"}),
        ([(50.0, 0.0), (50.0, 9.0)], {"highway": "service", "lanes": "1"}),
        (walk, {"highway": "footway", "footway": "crossing", "crossing": "zebra"}),
    ]
    tags = {(50.0, 0.0): {"highway": "traffic_signals"}, (0.0, 0.0): {"highway": "crossing", "crossing": "marked"}}
    tags[70.0, 4.0] = {"highway": "crossing"}  # drawn as a way, too
    vector_map = load_osm(write_osm(tmp_path / "a.osm", ways, tags), ORIGIN)
    (signal,), crossings = vertices(vector_map, SIGNALS), vertices(vector_map, OSM_CROSSINGS)
    np.testing.assert_allclose(signal.mean(0), (50, 0), atol=0.01)
    assert np.linalg.norm(signal[1] - signal[0]) == pytest.approx(4 * 3.25, abs=0.01)  # of the wider of the two streets
    assert len(crossings) == 2, "a node whose crossing is drawn as a way counts once"
    np.testing.assert_allclose(crossings[0], walk, atol=0.01)
    np.testing.assert_allclose(sorted(crossings[1].tolist()), [(0, -6.5), (0, 6.5)], atol=0.01)
    assert vector_map.layers[OSM_CROSSINGS].attributes[1]["crossing"] == "marked"


def write_pbf(source: Path, path: Path) -> None:
    import osmium

    with osmium.SimpleWriter(path) as writer:
        for item in osmium.FileProcessor(source):
            writer.add(item)


def write_graphml(source: Path, path: Path) -> None:
    import osmnx

    osmnx.settings.useful_tags_way = sorted({*osmnx.settings.useful_tags_way, "surface"})
    osmnx.save_graphml(osmnx.graph_from_xml(source, simplify=False, retain_all=True), path)


def write_shapefile(source: Path, path: Path) -> None:
    import geopandas

    lines = [shapely.LineString([lon_lat(*point) for point in points]) for points, _ in WAYS]
    columns = {"type": [tags["highway"] for _, tags in WAYS], "oneway": [int("oneway" in tags) for _, tags in WAYS]}
    columns |= {"name": [tags.get("name") for _, tags in WAYS], "bridge": [0] * len(WAYS)}
    geopandas.GeoDataFrame(columns, geometry=lines, crs="EPSG:4326").to_crs("EPSG:32632").to_file(path)


WAYS = [
    (STREET, {"highway": "secondary", "name": "Long Street"}),
    ([(50.0, 0.0), (50.0, 80.0)], {"highway": "residential", "oneway": "yes", "name": "Short Street"}),
    ([(0.0, 0.0), (0.0, 60.0), (20.0, 60.0), (10.0, 40.0), (5.0, 70.0)], {"highway": "service"}),  # crosses itself
]
WRITERS = {
    "a.osm.bz2": lambda source, path: path.write_bytes(bz2.compress(source.read_bytes())),
    "a.osm.gz": lambda source, path: path.write_bytes(gzip.compress(source.read_bytes())),
    "a.osm.pbf": write_pbf,
    "a.graphml": write_graphml,
    "a.shp": write_shapefile,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_streets(name: str, tmp_path: Path) -> None:
    source = write_osm(tmp_path / "source.osm", WAYS)
    WRITERS[name](source, tmp_path / name)
    plain, other = load_osm(source, ORIGIN), load_osm(tmp_path / name, ORIGIN)
    one, two = (shapely.union_all(m.layers[ROADS].geometries) for m in (plain, other))
    assert shapely.hausdorff_distance(one, two) < 0.02 and one.length == pytest.approx(two.length, abs=0.05)
    assert {about.get("name") for about in roads(plain).values()} == {a.get("name") for a in roads(other).values()}
    short = next(line for line, about in zip(vertices(other), roads(other).values(), strict=True) if about["oneway"])
    assert short[0, 1] < short[-1, 1], "one-way streets run where cars drive"


def test_a_real_extract_gives_the_same_streets_as_osmnx(shared: Path) -> None:
    import osmnx

    path, place = shared / "data/osm/West-Oakland.osm.bz2", (-122.3, 37.807)
    ours = load_osm(path, place)
    graph = osmnx.graph_from_xml(path, simplify=False, retain_all=True)
    theirs = build_map(extract_of_graph(graph, "osmnx"), lambda points: tangent_from_wgs84(points, place))
    one, two = (shapely.union_all(vector_map.layers[ROADS].geometries) for vector_map in (ours, theirs))
    assert shapely.hausdorff_distance(one, two) < 0.02 and one.length == pytest.approx(two.length, rel=1e-5)
    assert len(ours.layers[ROADS]) == 23 and len(ours.layers[SIGNALS]) == len(theirs.layers[SIGNALS]) == 4


def test_a_missing_node_is_named_with_its_way(tmp_path: Path) -> None:
    text = osm_xml(WAYS).replace('<nd ref="101"/>', '<nd ref="999"/>', 1)
    path = tmp_path / "cut.osm"
    path.write_text(text)
    with pytest.raises(
        DataError, match=r"cut\.osm: way 1 refers to 1 nodes that the file lacks \(999\).*cut_at_missing"
    ):
        load_osm(path, ORIGIN)


def test_a_way_with_a_missing_node_can_be_cut_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    points = [(float(x), 0.0) for x in range(0, 100, 10)]
    text = osm_xml([(points, {"highway": "service"})]).replace('<node id="104"', '<node id="904"')
    path = tmp_path / "cut.osm"
    path.write_text(text)
    with caplog.at_level(logging.WARNING):
        vector_map = load_osm(path, ORIGIN, cut_at_missing=True)
    assert [len(line) for line in vertices(vector_map)] == [4, 5] and list(roads(vector_map)) == ["1-0", "1-1"]
    assert "way 1 is cut at 1 missing nodes (104)" in caplog.text


def test_ways_without_length_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ways = [*WAYS, ([(5.0, 5.0), (5.0, 5.0)], {"highway": "service"}), ([(7.0, 7.0)], {"highway": "service"})]
    with caplog.at_level(logging.WARNING):
        vector_map = load_osm(write_osm(tmp_path / "a.osm", ways), ORIGIN)
    assert len(vector_map.layers[ROADS]) == 3 and "2 ways have no length: 4, 5" in caplog.text


def test_a_very_long_way_is_read_and_cut_to_a_patch(tmp_path: Path) -> None:
    angle = np.arange(30_000) * 0.002
    points = list(zip((angle * np.cos(angle)).tolist(), (angle * np.sin(angle)).tolist(), strict=True))
    lines = PriorLines.from_streets(load_osm(write_osm(tmp_path / "a.osm", [(points, {"highway": "service"})]), ORIGIN))
    patch = lines.crop(pose_at(0, 0, 0.3), BEVGrid((-30, -15, -5, 30, 15, 3), 0.5))
    assert len(lines) == 1 and len(patch) > 5 and max(np.abs(line).max() for line in patch.vertices) <= 30.0 + 1e-9


@pytest.mark.parametrize("name", ["bomb.osm", "bomb.graphml"])
def test_xml_bombs_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(BOMB)
    with pytest.raises(DataError, match=rf"{name}.*(entities|entity)"):
        load_osm(tmp_path / name, ORIGIN)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.osm", "<osm><node", "pyosmium cannot read"),
        ("a.osm.pbf", "no protocol buffers", "pyosmium cannot read"),
        ("a.osm", osm_xml([([(0, 0), (9, 0)], {"highway": "footway"})]), "no street for cars among 0 ways"),
        ("a.osm", osm_xml(WAYS).replace('lat="49.', 'lat="149.'), "no sound lon and lat|cannot read"),
        ("a.graphml", "<graphml/>", "no GraphML of OSMnx"),
        ("a.shp", "nothing", "GeoPandas cannot read"),
        ("a.dxf", "", "unknown ending"),
    ],
)
def test_unusable_files_are_named(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=rf"{name}.*({message})"):
        load_osm(tmp_path / name, ORIGIN)


def test_a_missing_file_and_an_unknown_place_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no OpenStreetMap file"):
        load_osm(tmp_path / "none.osm", ORIGIN)
    path = write_osm(tmp_path / "a.osm", WAYS)
    with pytest.raises(DataError, match="unknown place 'atlantis'; choose boston-seaport"):
        load_osm(path, "atlantis")
    with pytest.raises(DataError, match=r"\(lon, lat\) in degrees"):
        load_osm(path, (49.0, 98.0))


def test_a_shapefile_without_coordinate_system_is_refused(tmp_path: Path) -> None:
    write_shapefile(tmp_path, tmp_path / "a.shp")
    (tmp_path / "a.prj").unlink()
    with pytest.raises(DataError, match=r"a\.shp: no coordinate system"):
        load_osm(tmp_path / "a.shp", ORIGIN)


class Overpass(BaseHTTPRequestHandler):
    """Answers as OpenStreetMap's server does, and counts."""

    asked = 0

    def do_POST(self) -> None:
        type(self).asked += 1
        elements = [
            {"type": "node", "id": i, "lon": lon_lat(x, y)[0], "lat": lon_lat(x, y)[1]}
            for i, (x, y) in enumerate(STREET, start=1)
        ]
        elements.append(
            {"type": "way", "id": 9, "nodes": [1, 2, 3], "tags": {"highway": "living_street", "lanes": "2"}}
        )
        body = json.dumps({"elements": elements}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_download_is_kept_in_osmnx_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import osmnx

    server = HTTPServer(("127.0.0.1", 0), Overpass)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(osmnx.settings, "overpass_url", f"http://127.0.0.1:{server.server_port}/api")
    monkeypatch.setattr(osmnx.settings, "overpass_rate_limit", False)
    box = (*lon_lat(-10, -10), *lon_lat(110, 20))
    first = fetch_osm(box, ORIGIN, tmp_path)
    server.shutdown()
    server.server_close()
    second = fetch_osm(box, ORIGIN, tmp_path)
    assert Overpass.asked == 1 and list(tmp_path.glob("*.json"))
    for vector_map in (first, second):
        assert {about["highway"] for about in roads(vector_map).values()} == {"living_street"}
        assert {about["lanes"] for about in roads(vector_map).values()} == {2}
        assert shapely.union_all(vector_map.layers[ROADS].geometries).length == pytest.approx(100.99, abs=0.05)
    with pytest.raises(DataError, match="check the network"):
        fetch_osm((*lon_lat(500, 500), *lon_lat(600, 600)), ORIGIN, tmp_path)
