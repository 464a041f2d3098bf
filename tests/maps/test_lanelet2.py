"""Lanelet2 maps read and written, checked with the real library."""

from pathlib import Path

import numpy as np
import pytest
import shapely

from mapstack.errors import DataError
from mapstack.geometry.geodesy import tangent_from_wgs84, wgs84_from_tangent
from mapstack.maps import MapLayer, VectorMap, load_argoverse2, load_lanelet2, write_lanelet2

from .conftest import LOG
from .osm_writer import BOMB

KARLSRUHE = (8.4242, 49.0034)


@pytest.fixture(scope="module")
def example(shared: Path) -> Path:
    return shared / "data/lanelet2/mapping_example.osm"


@pytest.fixture(scope="module")
def karlsruhe(example: Path) -> VectorMap:
    return load_lanelet2(example, KARLSRUHE)


def real_map(path: Path):
    """The file as the real library loads it, and a function from its points to our world."""
    lanelet2 = pytest.importorskip(
        "lanelet2", reason="the real library is not installed: pip install mapstack[lanelet2]"
    )
    projector = lanelet2.projection.UtmProjector(lanelet2.io.Origin(KARLSRUHE[1], KARLSRUHE[0]))
    loaded, errors = lanelet2.io.loadRobust(str(path), projector)
    assert not errors

    def world(points) -> np.ndarray:
        spots = [projector.reverse(lanelet2.core.BasicPoint3d(p.x, p.y, p.z)) for p in points]
        return tangent_from_wgs84(np.array([(spot.lon, spot.lat) for spot in spots]), KARLSRUHE)

    return lanelet2, loaded, world


def sides_of(vector_map: VectorMap) -> dict[tuple[str, str], np.ndarray]:
    layer = vector_map.layers["lane_boundary"]
    rows = zip(layer.geometries, layer.attributes, strict=True)
    return {(about["lane"], about["side"]): shapely.get_coordinates(line) for line, about in rows}


def successors_of(vector_map: VectorMap) -> dict[str, set[str]]:
    return {about["token"]: set(about["successors"]) for about in vector_map.layers["centerline"].attributes}


def test_lanes_of_a_real_map_run_as_in_the_real_library(example: Path, karlsruhe: VectorMap) -> None:
    _, loaded, world = real_map(example)
    sides = sides_of(karlsruhe)
    lanes = [lane for lane in loaded.laneletLayer if (str(lane.id), "left") in sides]
    assert len(lanes) == len(sides) / 2 == 345
    for lane in lanes:
        np.testing.assert_allclose(sides[str(lane.id), "left"], world(lane.leftBound), atol=1e-4)
        np.testing.assert_allclose(sides[str(lane.id), "right"], world(lane.rightBound), atol=1e-4)
    assert len(karlsruhe.layers["ped_crossing"]) == 8 and not karlsruhe.has_z


def test_successors_of_a_real_map_are_the_real_librarys(example: Path, karlsruhe: VectorMap) -> None:
    lanelet2, loaded, _ = real_map(example)
    ours = successors_of(karlsruhe)
    near = set(list(ours)[:60])
    lanes = {str(lane.id): lane for lane in loaded.laneletLayer if str(lane.id) in ours}
    for token in near:
        theirs = {other for other in lanes if other != token and lanelet2.geometry.follows(lanes[token], lanes[other])}
        assert ours[token] - {token} == theirs


def test_a_real_map_gives_elements_by_the_usual_rules(karlsruhe: VectorMap) -> None:
    assert len(karlsruhe.elements("divider", "painted")) > 30 and len(karlsruhe.elements("boundary")) > 10
    neighbours = [about for about in karlsruhe.layers["lane_boundary"].attributes if about["neighbour"]]
    assert {"DASHED_WHITE", "SOLID_WHITE", "NONE"} <= {about["mark"] for about in neighbours}


def test_an_argoverse_map_becomes_lanelets_that_the_real_library_follows(argoverse2_logs: Path, tmp_path: Path) -> None:
    source = load_argoverse2(argoverse2_logs / LOG)
    write_lanelet2(source, tmp_path / "out.osm", lambda points: wgs84_from_tangent(points, KARLSRUHE))
    lanelet2, loaded, world = real_map(tmp_path / "out.osm")
    layer = source.layers["lane_boundary"]
    assert sum(lane.attributes["subtype"] != "crosswalk" for lane in loaded.laneletLayer) == len(layer) / 2 == 183
    sides = sides_of(source)
    by_token = {lane.attributes["mapstack:token"]: lane for lane in loaded.laneletLayer}
    for (token, side), line in list(sides.items())[:60]:
        bound = by_token[str(token)].leftBound if side == "left" else by_token[str(token)].rightBound
        np.testing.assert_allclose(world(bound), line[:, :2], atol=2e-3)
        np.testing.assert_allclose(bound[0].z, source_height(source, token, side), atol=2e-3)
    known = {about["token"]: about["successors"] for about in source.layers["centerline"].attributes}
    pairs = [(a, str(b)) for a, after in known.items() for b in after if str(b) in by_token]
    follows = [lanelet2.geometry.follows(by_token[a], by_token[b]) for a, b in pairs]
    assert len(follows) > 200 and all(follows)


def source_height(source: VectorMap, token: int, side: str) -> float:
    layer = source.layers["lane_boundary"]
    for line, about in zip(layer.geometries, layer.attributes, strict=True):
        if (about["lane"], about["side"]) == (token, side):
            return shapely.get_coordinates(line, include_z=True)[0, 2]
    raise KeyError(token)


def test_what_is_written_is_read_back(karlsruhe: VectorMap, tmp_path: Path) -> None:
    write_lanelet2(karlsruhe, tmp_path / "out.osm", lambda points: wgs84_from_tangent(points, KARLSRUHE))
    again = load_lanelet2(tmp_path / "out.osm", KARLSRUHE)
    for name in ("lane_boundary", "ped_crossing", "centerline"):
        one, two = (shapely.union_all(m.layers[name].geometries) for m in (karlsruhe, again))
        assert len(again.layers[name]) == len(karlsruhe.layers[name])
        assert shapely.hausdorff_distance(one, two) < 0.01
    for column in ("mark", "side"):
        assert again.layers["lane_boundary"].column(column) == karlsruhe.layers["lane_boundary"].column(column)
    links = [sorted(map(len, successors_of(m).values())) for m in (karlsruhe, again)]
    assert links[0] == links[1]


def test_a_map_of_lines_alone_keeps_its_layers(tmp_path: Path) -> None:
    square = np.array([(0.0, 0), (4, 0), (4, 12), (0, 12)])
    layers = {
        "lane_divider": MapLayer.from_lines([np.array([(0.0, 0.0), (50.0, 1.0)])]),
        "boundary": MapLayer.from_lines([np.array([(0.0, -6.0), (50.0, -5.0)])]),
        "centerline": MapLayer.from_lines([np.array([(0.0, 2.0), (50.0, 3.0)])]),
        "ped_crossing": MapLayer.from_polygons([square]),
    }
    write_lanelet2(VectorMap(layers), tmp_path / "out.osm", lambda points: wgs84_from_tangent(points, KARLSRUHE))
    again = load_lanelet2(tmp_path / "out.osm", KARLSRUHE)
    for name, layer in layers.items():
        one, two = layer.geometries[0], again.layers[name].geometries[0]
        assert shapely.hausdorff_distance(one, two) < 0.01
    _, loaded, _ = real_map(tmp_path / "out.osm")
    assert [lane.attributes["subtype"] for lane in loaded.laneletLayer] == ["crosswalk"]


NODES = "".join(
    f'<node id="{i}" lat="{49 + y * 1e-5}" lon="{8 + x * 1e-5}">'
    f'<tag k="local_x" v="{x}"/><tag k="local_y" v="{y}"/></node>'
    for i, (x, y) in enumerate([(0, 3), (20, 3), (0, 0), (20, 0)], start=1)
)
WAYS = '<way id="10"><nd ref="1"/><nd ref="2"/></way><way id="11"><nd ref="4"/><nd ref="3"/></way>'
LANE = (
    '<relation id="20"><member type="way" role="left" ref="10"/><member type="way" role="right" ref="11"/>{}</relation>'
)
TAGS = '<tag k="type" v="lanelet"/><tag k="subtype" v="road"/>'


def document(*parts: str) -> str:
    return f'<osm version="0.6">{"".join(parts)}</osm>'


def test_local_coordinates_and_a_side_that_runs_back(tmp_path: Path) -> None:
    (tmp_path / "a.osm").write_text(document(NODES, WAYS, LANE.format(TAGS)))
    vector_map = load_lanelet2(tmp_path / "a.osm", "local")
    np.testing.assert_allclose(
        shapely.get_coordinates(vector_map.layers["centerline"].geometries[0]), [(0, 1.5), (20, 1.5)]
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (document(NODES, WAYS.replace('"3"', '"77"'), LANE.format(TAGS)), "way 11 refers to node 77"),
        (document(NODES, WAYS, LANE.replace('"11"', '"99"').format(TAGS)), "lanelet 20 refers to way 99"),
        (
            document(NODES, WAYS, LANE.replace("right", "regulatory_element").format(TAGS)),
            "lanelet 20 has no right side",
        ),
        (document(NODES, WAYS, LANE.replace("right", "left").format(TAGS)), "two ways as its left side"),
        (document(), "holds no lanelet and no way"),
        ("<gpx/>", "not 'osm'"),
        ("<osm>", "no readable XML"),
        (BOMB, "XML entities or a document type"),
    ],
)
def test_broken_maps_are_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "broken.osm").write_text(text)
    with pytest.raises(DataError, match=rf"broken\.osm.*{message}"):
        load_lanelet2(tmp_path / "broken.osm", KARLSRUHE)


def test_a_lane_with_one_side_is_not_written(tmp_path: Path) -> None:
    layer = MapLayer.from_lines([np.array([(0.0, 0.0), (9.0, 0.0)])], [{"lane": "7", "side": "left"}])
    with pytest.raises(DataError, match="lane 7 has only left"):
        write_lanelet2(VectorMap({"lane_boundary": layer}), tmp_path / "a.osm", np.asarray)
    assert not list(tmp_path.iterdir())
