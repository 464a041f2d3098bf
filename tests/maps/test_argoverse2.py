import csv
import json
from pathlib import Path

import numpy as np
import pytest
import shapely

from mapstack.errors import DataError
from mapstack.geometry import BEVGrid
from mapstack.geometry.se3 import planar_pose, transform_points
from mapstack.maps import CLASSES, VectorMap, load_argoverse2

from .conftest import LOG, ego_poses

BOTH = (LOG, "adcf7d18-0510-35b0-a2fa-b4cea13a6d76")


def points(*rows: tuple) -> list[dict]:
    return [dict(zip("xyz", row, strict=True)) for row in rows]


def lane(number: int, y: float, **more: object) -> dict:
    record = {"id": number, "is_intersection": False, "lane_type": "VEHICLE", "successors": [], "predecessors": []}
    record |= {"left_lane_boundary": points((0, y + 3.5, 1), (40, y + 3.5, 2)), "left_lane_mark_type": "DASHED_WHITE"}
    record |= {"right_lane_boundary": points((0, y, 1), (40, y, 2)), "right_lane_mark_type": "NONE"}
    return record | {"left_neighbor_id": None, "right_neighbor_id": None} | more


def archive() -> dict:
    opposed = [points((10, 0, 1), (10, 7, 1)), points((13, 7, 1), (13, 0, 1))]
    area = points((-5, -1, 1), (45, -1, 2), (45, 8, 2), (-5, 8, 1))
    return {
        "lane_segments": {"1": lane(1, 0, left_neighbor_id=2), "2": lane(2, 3.5, right_neighbor_id=1)},
        "pedestrian_crossings": {"5": {"id": 5, "edge1": opposed[0], "edge2": opposed[1]}},
        "drivable_areas": {"7": {"id": 7, "area_boundary": area}},
    }


def write(log_dir: Path, content: dict) -> Path:
    path = log_dir / "map" / "log_map_archive_x____PIT_city_1.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def test_a_small_archive(tmp_path: Path, grid: BEVGrid) -> None:
    write(tmp_path, archive())
    vector_map = load_argoverse2(tmp_path)
    assert vector_map.has_z and vector_map.layers["lane_boundary"].column("mark")[0] == "DASHED_WHITE"
    patch = vector_map.crop(np.eye(4), grid, classes=CLASSES)
    assert np.bincount(patch.labels, minlength=4).tolist() == [1, 1, 1, 2]
    np.testing.assert_allclose(patch.vertices[0], [[0, 3.5, 1.0], [30, 3.5, 1.75]])


def test_a_crossing_with_opposed_edges_is_no_bow_tie(tmp_path: Path) -> None:
    write(tmp_path, archive())
    vector_map = load_argoverse2(tmp_path)
    (crossing,) = vector_map.elements("ped_crossing", "parallel")
    assert crossing.area == pytest.approx(21.0) and vector_map.repairs == {}


def set_nan(content: dict) -> None:
    content["lane_segments"]["2"]["left_lane_boundary"][0]["z"] = float("nan")


def shorten(content: dict) -> None:
    content["lane_segments"]["2"]["left_lane_boundary"].pop()


def lengthen(content: dict) -> None:
    content["pedestrian_crossings"]["5"]["edge1"] += points((11, 9, 1))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda content: content.pop("drivable_areas"), "drivable_areas"),
        (lambda content: content.pop("pedestrian_crossings"), "pedestrian_crossings"),
        (lambda content: content["lane_segments"]["1"].pop("successors"), "successors"),
        (set_nan, "token 2_left"),
        (shorten, "token 2_left"),
        (lengthen, "token 5"),
        (lambda content: content["drivable_areas"]["7"].update(area_boundary=points((0, 0, 0), (1, 1, 0))), "token 7"),
    ],
    ids=["no areas", "no crossings", "no successors", "nan", "one vertex", "three vertices", "two corners"],
)
def test_a_broken_archive_names_itself_and_the_record(edit: object, message: str, tmp_path: Path) -> None:
    content = archive()
    edit(content)
    path = write(tmp_path, content)
    with pytest.raises(DataError, match=message) as raised:
        load_argoverse2(tmp_path)
    assert str(path) in str(raised.value)


def test_a_missing_or_second_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="log_map_archive.*0"):
        load_argoverse2(tmp_path)
    path = write(tmp_path, archive())
    path.with_name("log_map_archive_y.json").write_text("{}")
    with pytest.raises(DataError, match="log_map_archive.*2"):
        load_argoverse2(tmp_path)


@pytest.fixture(scope="module")
def real(argoverse2_logs: Path) -> VectorMap:
    return load_argoverse2(argoverse2_logs / LOG)


@pytest.mark.shared
def test_counts_are_those_that_maptrv2_published(
    real: VectorMap, argoverse2_logs: Path, shared: Path, grid: BEVGrid
) -> None:
    with (shared / "data" / "argoverse2" / "maptrv2_val_counts.csv").open() as file:
        rows = list(csv.DictReader(file))
    poses = ego_poses(argoverse2_logs / LOG)
    classes = ("ped_crossing", "divider", "boundary")
    ours = [real.crop(poses[int(row["timestamp_ns"])], grid, classes=classes).labels for row in rows]
    ours = np.array([np.bincount(labels, minlength=3) for labels in ours])
    theirs = np.array([[int(row[name]) for name in ("num_ped", "num_divider", "num_boundary")] for row in rows])
    equal = (ours == theirs).mean(0)
    assert len(rows) == 48 and equal[0] >= 0.95 and equal[1] >= 0.8 and equal[2] >= 0.8, equal


@pytest.mark.shared
@pytest.mark.parametrize("log", BOTH)
def test_geometry_agrees_with_the_av2_api(log: str, argoverse2_logs: Path) -> None:
    from av2.map.map_api import ArgoverseStaticMap

    source = ArgoverseStaticMap.from_map_dir(argoverse2_logs / log / "map")
    ours = load_argoverse2(argoverse2_logs / log)
    layer = ours.layers["centerline"]
    for token, line in zip(layer.tokens, layer.geometries, strict=True):
        np.testing.assert_array_equal(
            shapely.get_coordinates(line, include_z=True), source.get_lane_segment_centerline(int(token))
        )
    layer = ours.layers["ped_crossing"]
    for polygon, crossing in zip(layer.geometries, source.get_scenario_ped_crossings(), strict=True):
        np.testing.assert_array_equal(shapely.get_coordinates(polygon, include_z=True), crossing.polygon)
    layer = ours.layers["drivable_area"]
    areas = source.get_scenario_vector_drivable_areas()
    for polygon, area in zip(layer.geometries, areas, strict=True):
        np.testing.assert_array_equal(shapely.get_coordinates(polygon, include_z=True), area.xyz)
    sides = {}
    for segment in source.get_scenario_lane_segments():
        sides[f"{segment.id}_left"] = segment.left_lane_boundary.xyz
        sides[f"{segment.id}_right"] = segment.right_lane_boundary.xyz
    layer = ours.layers["lane_boundary"]
    assert len(layer) == len(sides)
    for token, line in zip(layer.tokens, layer.geometries, strict=True):
        np.testing.assert_array_equal(shapely.get_coordinates(line, include_z=True), sides[token])


@pytest.mark.shared
@pytest.mark.parametrize("log", BOTH)
@pytest.mark.parametrize("rule", ["maptrv2", "painted", "neighbour"])
def test_cropped_vertices_lie_on_the_av2_geometry(log: str, rule: str, argoverse2_logs: Path, grid: BEVGrid) -> None:
    ours = load_argoverse2(argoverse2_logs / log)
    sides = shapely.unary_union(shapely.force_2d(ours.layers["lane_boundary"].geometries))
    areas = shapely.unary_union(shapely.force_2d(ours.layers["drivable_area"].geometries)).boundary
    centres = shapely.unary_union(shapely.force_2d(ours.layers["centerline"].geometries))
    truth = {"divider": sides, "boundary": areas, "centerline": centres}
    for pose in list(ego_poses(argoverse2_logs / log).values())[::300]:
        patch = ours.crop(pose, grid, classes=CLASSES, divider_rule=rule)
        for vertices, label in zip(patch.vertices, patch.labels, strict=True):
            assert np.isfinite(vertices).all() and (np.abs(vertices[:, :2]) <= [30.0, 15.0]).all()
            assert np.abs(vertices[:, 2]).max() < 5.0
            if CLASSES[label] in truth:
                world = shapely.points(transform_points(planar_pose(pose), vertices)[:, :2])
                assert shapely.distance(world, truth[CLASSES[label]]).max() < 2e-3
