import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from scipy.spatial.transform import Rotation

from mapstack.errors import DataError
from mapstack.geometry import BEVGrid
from mapstack.geometry.se3 import make_transform, planar_pose
from mapstack.maps import CLASSES, load_geojson, load_map
from mapstack.maps.clip import patch_in_world

from .conftest import pose_at, random_map

SCENES = ("0061", "0103", "0655", "0757", "1077", "1094")


def feature(coordinates: list, kind: str = "LineString", **properties: object) -> dict:
    return {"type": "Feature", "properties": properties, "geometry": {"type": kind, "coordinates": coordinates}}


def write(path: Path, features: list, **members: object) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", **members, "features": features}))
    return path


@pytest.mark.parametrize("dims", [2, 3])
def test_a_map_comes_back_as_it_was_written(dims: int, tmp_path: Path, grid: BEVGrid) -> None:
    wrote = random_map(1, dims)
    wrote.to_geojson(tmp_path / "map.geojson")
    read = load_map("geojson", str(tmp_path / "map.geojson"), "")
    assert set(read.layers) == set(wrote.layers) and read.name == wrote.name and read.has_z == (dims == 3)
    for name, layer in wrote.layers.items():
        ours, theirs = (shapely.get_coordinates(it.geometries, include_z=True) for it in (layer, read.layers[name]))
        np.testing.assert_array_equal(ours, theirs)
        assert list(read.layers[name].attributes) == list(layer.attributes)
    pose = pose_at(4000.0, 2000.0, 0.3, z=70.0)
    for a, b in zip(wrote.crop(pose, grid).vertices, read.crop(pose, grid).vertices, strict=True):
        np.testing.assert_array_equal(a, b)


def test_layers_that_no_rule_reads_are_kept(tmp_path: Path) -> None:
    path = write(
        tmp_path / "map.geojson",
        [feature([[0, 0], [9, 0]], layer="tram", token="t", gauge=1.4)],
        mapstack={"version": 1},
    )
    layer = load_geojson(path).layers["tram"]
    assert layer.attributes[0] == {"token": "t", "gauge": 1.4}


LINE = [[0, 0], [5, 0]]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (feature([[0, 0]], layer="lane_divider", token="d1"), "d1.*1 distinct vert"),
        (feature([[0, 0], [0, 0]], layer="lane_divider", token="d2"), "d2.*distinct"),
        (feature([[0, 0], [float("nan"), 0]], layer="lane_divider", token="d3"), "d3.*finite"),
        (feature([[0, 0], [1]], layer="lane_divider", token="d4"), "d4.*numbers"),
        (feature([[[0, 0], [1, 0]]], "Polygon", layer="ped_crossing", token="p1"), "p1.*distinct"),
        (feature([], "Polygon", layer="ped_crossing", token="p2"), "p2.*ring"),
        (feature(LINE, token="x"), "x.*layer"),
        (feature([0, 0], "Point", layer="lane_divider", token="y"), "y.*Point"),
        (feature([[0, 0, 1], [1, 0, 1]], layer="lane_divider", token="z"), "z or none"),
        ({"type": "Feature"}, "feature 1"),
        (feature([[[0, 0], [1, 0], [1, 1]]], "Polygon", layer="lane_divider", token="m"), "mixes"),
    ],
    ids=["1 vertex", "no length", "nan", "ragged", "flat", "no ring", "no layer", "point", "z", "no geometry", "mixed"],
)
def test_a_broken_feature_is_named(broken: dict, message: str, tmp_path: Path) -> None:
    good = feature(LINE, layer="lane_divider", token="good")
    path = write(tmp_path / "map.geojson", [good, broken], mapstack={"version": 1})
    with pytest.raises(DataError, match=message) as raised:
        load_geojson(path)
    assert str(path) in str(raised.value)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere.geojson"):
        load_geojson(tmp_path / "nowhere.geojson")
    (tmp_path / "cut.geojson").write_text('{"type": "Feat')
    with pytest.raises(DataError, match="JSON"):
        load_geojson(tmp_path / "cut.geojson")
    (tmp_path / "list.geojson").write_text("[]")
    with pytest.raises(DataError, match="FeatureCollection"):
        load_geojson(tmp_path / "list.geojson")
    with pytest.raises(DataError, match="version 2"):
        load_geojson(write(tmp_path / "new.geojson", [], mapstack={"version": 2}))


@pytest.mark.shared
@pytest.mark.parametrize("scene", SCENES)
def test_real_nuscenes_extracts(scene: str, shared: Path, grid: BEVGrid) -> None:
    folder = shared / "data" / "nuscenes_maps"
    vector_map = load_geojson(folder / f"scene-{scene}.geojson")
    ego = json.loads((folder / f"scene-{scene}.ego.json").read_text())
    assert {"lane_divider", "road_divider", "boundary", "centerline", "lane"} == set(vector_map.layers)
    seen = np.zeros(4, dtype=int)
    for (x, y), heading in list(zip(ego["position"], ego["heading"], strict=True))[::20]:
        patch = vector_map.crop(pose_at(x, y, heading), grid, classes=CLASSES)
        seen += np.bincount(patch.labels, minlength=4)
        for vertices in patch.vertices:
            assert (np.abs(vertices) <= [30.0, 15.0]).all()
        ahead = [v for v, k in zip(patch.vertices, patch.labels, strict=True) if k == 3]
        near = min(ahead, key=lambda v: np.abs(v).sum(1).min())
        assert near[-1, 0] > near[0, 0], "the nearest centerline runs the way the car drives"
    assert seen[0] > 20 and seen[1] == 0 and seen[2] > 10 and seen[3] > 50


@pytest.mark.shared
def test_the_real_keyframe_has_its_four_lane_dividers_and_three_boundaries(shared: Path, grid: BEVGrid) -> None:
    """The numbers that data/README.md gives for this frame; its nine centerlines make six chains."""
    tables = shared / "data" / "nuscenes_keyframe" / "v1.0-mini"
    lidar = next(row for row in json.loads((tables / "sample_data.json").read_text()) if "LIDAR_TOP" in row["filename"])
    poses = {row["token"]: row for row in json.loads((tables / "ego_pose.json").read_text())}
    pose = poses[lidar["ego_pose_token"]]
    rotation = Rotation.from_quat(np.roll(pose["rotation"], -1)).as_matrix()
    world_from_ego = make_transform(rotation, np.array(pose["translation"]))
    vector_map = load_geojson(shared / "data" / "nuscenes_maps" / "scene-0061.geojson")
    patch_xy = patch_in_world(planar_pose(world_from_ego), grid.box_xy)
    met = {
        name: int(shapely.intersects(vector_map.layers[name].geometries, patch_xy).sum()) for name in vector_map.layers
    }
    assert (met["lane_divider"], met["road_divider"], met["boundary"], met["centerline"]) == (4, 0, 3, 9)
    patch = vector_map.crop(world_from_ego, grid, classes=CLASSES)
    assert np.bincount(patch.labels, minlength=4).tolist() == [4, 0, 4, 6], "one outline crosses the patch twice"
