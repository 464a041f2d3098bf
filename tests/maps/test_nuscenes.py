import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import shapely

from mapstack.errors import DataError
from mapstack.geometry import BEVGrid
from mapstack.maps import CLASSES, VectorMap, load_map, load_nuscenes

from .conftest import pose_at
from .expansion import LOCATION, small_street


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> VectorMap:
    dataroot = tmp_path_factory.mktemp("nuscenes")
    small_street().write(dataroot)
    return load_nuscenes(dataroot, LOCATION)


def test_layers_keep_their_records_and_attributes(street: VectorMap) -> None:
    sizes = {name: len(layer) for name, layer in street.layers.items()}
    lines = {"road_divider": 1, "lane_divider": 1, "centerline": 3}
    assert sizes == {**lines, "road_segment": 2, "lane": 2, "ped_crossing": 4}, (
        "the divider without nodes is passed over"
    )
    assert not street.has_z and street.name == LOCATION and street.source == "nuscenes"
    assert street.layers["lane_divider"].column("mark") == [["DOUBLE_DASHED_WHITE"]]
    assert street.layers["road_segment"].column("is_intersection") == [True, False]
    turn = dict(zip(street.layers["centerline"].tokens, street.layers["centerline"].attributes, strict=True))["turn"]
    assert turn["predecessors"] == ["east"] and turn["is_intersection"] is True


def test_geometry_is_the_devkits(street: VectorMap, tmp_path: Path) -> None:
    from nuscenes.map_expansion.map_api import NuScenesMap

    small_street().write(tmp_path)
    source = NuScenesMap(str(tmp_path), LOCATION)
    for name in ("lane", "road_segment", "ped_crossing"):
        layer = street.layers[name]
        for token, polygon in zip(layer.tokens, layer.geometries, strict=True):
            assert polygon.equals_exact(source.extract_polygon(source.get(name, token)["polygon_token"]), 0)
    wanted = source.extract_line(source.get("lane_divider", "middle")["line_token"])
    assert street.layers["lane_divider"].geometries[0].equals_exact(wanted, 0)
    layer = street.layers["centerline"]
    for token, line in zip(layer.tokens, layer.geometries, strict=True):
        arc = np.array(source.discretize_lanes([token], 0.5)[token])[:, :2]
        assert shapely.linestrings(arc).hausdorff_distance(line) < 0.021


def test_the_patch_of_the_street(street: VectorMap, grid: BEVGrid) -> None:
    patch = street.crop(pose_at(45.0, 1.75, 0.0), grid, classes=CLASSES)
    by_class = {
        name: [v for v, k in zip(patch.vertices, patch.labels, strict=True) if CLASSES[k] == name] for name in CLASSES
    }
    assert {name: len(found) for name, found in by_class.items()} == {
        "divider": 1,
        "ped_crossing": 2,  # near and far touch and are parallel; across is square to them; the bow tie is far
        "boundary": 2,  # both kerbs; the island is inside two lanes, which cover it
        "centerline": 2,
    }
    np.testing.assert_allclose(by_class["divider"][0], [[-30, 1.75], [5, 1.75], [30, 1.75]])
    assert sorted(shapely.polygons(ring).area for ring in by_class["ped_crossing"]) == pytest.approx([28.0, 42.0])
    east, west = by_class["centerline"]
    assert east[0, 0] < east[-1, 0] and west[0, 0] > west[-1, 0], "in driving direction"


def test_a_turn_follows_its_lane_without_a_seam(street: VectorMap) -> None:
    chained = street.elements("centerline")
    assert len(chained) == 2
    length = max(shapely.length(chained))
    assert length == pytest.approx(100 + 5 * np.pi, abs=0.1)


def test_the_bow_tie_is_repaired_and_reported(street: VectorMap) -> None:
    assert street.repairs == {"ped_crossing": ["bow tie"]}


def test_load_map_is_the_same_door(tmp_path: Path) -> None:
    small_street().write(tmp_path)
    assert set(load_map("nuscenes", str(tmp_path), LOCATION).layers) >= {"lane_divider", "ped_crossing"}
    with pytest.raises(ValueError, match="geojson"):
        load_map("lanelet", str(tmp_path), "")


def breakage(edit: Callable[[dict], None]) -> Callable[[Path], Path]:
    def apply(dataroot: Path) -> Path:
        street = small_street()
        edit(street.content)
        return street.write(dataroot)

    return apply


def set_node(content: dict, token: str, value: float) -> None:
    next(node for node in content["node"] if node["token"] == token)["x"] = value


def cut_line(content: dict, token: str) -> None:
    record = next(item for item in content["lane_divider"] if item["token"] == token)
    line = next(item for item in content["line"] if item["token"] == record["line_token"])
    line["node_tokens"] = line["node_tokens"][:1]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda content: content.pop("ped_crossing"), "ped_crossing"),
        (lambda content: content.pop("arcline_path_3"), "arcline_path_3"),
        (lambda content: content.update(version="1.0"), "1.3"),
        (lambda content: set_node(content, content["polygon"][0]["exterior_node_tokens"][1], float("nan")), "east"),
        (lambda content: cut_line(content, "middle"), "middle"),
        (lambda content: content["node"].pop(0), "n0"),
    ],
    ids=["no layer", "no paths", "old version", "nan", "one vertex", "no node"],
)
def test_a_broken_file_names_itself_and_the_record(edit: Callable, message: str, tmp_path: Path) -> None:
    path = breakage(edit)(tmp_path)
    with pytest.raises(DataError, match=message) as raised:
        load_nuscenes(tmp_path, LOCATION)
    assert str(path) in str(raised.value)


def test_a_missing_or_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"{LOCATION}.json"):
        load_nuscenes(tmp_path, LOCATION)
    path = small_street().write(tmp_path)
    path.write_text(path.read_text()[:200])
    with pytest.raises(DataError, match="JSON"):
        load_nuscenes(tmp_path, LOCATION)
    path.write_text(json.dumps([1, 2]))
    with pytest.raises(DataError, match="expansion"):
        load_nuscenes(tmp_path, LOCATION)
    path.with_name("my-town.json").write_text(json.dumps(small_street().content))
    with pytest.raises(DataError, match="my-town"):
        load_nuscenes(tmp_path, "my-town")
