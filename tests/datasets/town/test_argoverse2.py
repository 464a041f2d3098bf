"""av2 must open the town's logs."""

import numpy as np
import pyarrow.feather
import pytest
import shapely
from av2.datasets.sensor.av2_sensor_dataloader import AV2SensorDataLoader
from av2.map.map_api import ArgoverseStaticMap
from av2.structures.sweep import Sweep

from mapstack.datasets.town.argoverse2_map import CITY_Z_M


@pytest.fixture(scope="module")
def loader(town):
    folder = town.argoverse2 / "train"
    return AV2SensorDataLoader(folder, folder)


@pytest.fixture(scope="module")
def log(loader):
    return loader.get_log_ids()[0]


@pytest.fixture(scope="module")
def log_map(loader, log):
    return ArgoverseStaticMap.from_map_dir(loader.get_log_map_dirpath(log), build_raster=True)


def test_ground_points_lie_on_the_ground_height_surface(loader, log, log_map):
    time = loader.get_ordered_log_lidar_timestamps(log)[1]
    sweep = Sweep.from_feather(loader.get_lidar_fpath(log, time))
    pose = loader.get_city_SE3_ego(log, time)
    assert abs(pose.translation[2] - CITY_Z_M - 0.33) < 0.01
    points = pose.transform_point_cloud(sweep.xyz)
    low = points[:, 2] < CITY_Z_M + 0.4
    height = log_map.raster_ground_height_layer.get_ground_height_at_xy(points[low])
    assert np.abs(points[low, 2] - height)[np.isfinite(height)].mean() < 0.03
    assert log_map.get_ground_points_boolean(points).mean() > 0.5
    assert log_map.get_raster_layer_points_boolean(pose.translation[None], "DRIVABLE_AREA").all()


def test_points_and_boxes_meet_in_the_cameras(loader, log):
    time = loader.get_ordered_log_lidar_timestamps(log)[1]
    cuboids = loader.get_labels_at_lidar_timestamp(log, time)
    sweep = Sweep.from_feather(loader.get_lidar_fpath(log, time))
    # Half of the points on a side lie outside it, by the noise of their range.
    inside = sum(cuboid.compute_interior_points(sweep.xyz)[1].sum() for cuboid in cuboids.cuboids)
    table = pyarrow.feather.read_table(loader._data_dir / log / "annotations.feather").to_pandas()
    counted = table[table.timestamp_ns == time].num_interior_pts.sum()
    assert counted > 10 and 0.3 * counted < inside <= 1.3 * counted
    seen = 0
    for camera in ("ring_front_center", "ring_front_left", "ring_side_right", "ring_rear_left"):
        path = loader.get_closest_img_fpath(log, camera, time)
        assert path is not None and path.is_file()
        _, _, inside = loader.project_ego_to_img_motion_compensated(sweep.xyz, camera, int(path.stem), time, log)
        seen += int(inside.sum())
    assert seen > 800


def test_lanes_link_and_neighbours_share_a_line(log_map):
    lanes = log_map.vector_lane_segments
    assert any(lane.is_intersection for lane in lanes.values())
    for lane in lanes.values():
        for following in lane.successors:
            if following in lanes:
                assert lane.id in lanes[following].predecessors
                end = log_map.get_lane_segment_centerline(lane.id)[-1]
                start = log_map.get_lane_segment_centerline(following)[0]
                assert np.linalg.norm(end - start) < 0.2
        if lane.right_neighbor_id in lanes:
            np.testing.assert_allclose(
                lane.right_lane_boundary.xyz, lanes[lane.right_neighbor_id].left_lane_boundary.xyz
            )
        if lane.left_neighbor_id in lanes:
            other = lanes[lane.left_neighbor_id]
            assert lane.id in (other.left_neighbor_id, other.right_neighbor_id)


def test_drivable_areas_unite_to_the_town_s_kerbs(world, log_map, loader, log):
    areas = shapely.union_all([shapely.Polygon(area.xyz[:, :2]) for area in log_map.vector_drivable_areas.values()])
    district = next(d for d in world.districts if d.map.drivable.intersects(areas)).map
    whole = shapely.simplify(areas, 0.0)
    kerb = district.drivable.intersection(areas.buffer(0.01))
    assert whole.symmetric_difference(kerb).area < 0.02 * areas.area
    holes = [ring for part in getattr(areas, "geoms", [areas]) for ring in part.interiors]
    assert all(shapely.Polygon(ring).area > 5.0 for ring in holes)


def test_crossings_have_two_edges_that_run_the_same_way(world, town):
    found = 0
    for part in ("train", "val"):
        for folder in sorted((town.argoverse2 / part).iterdir()):
            for crossing in ArgoverseStaticMap.from_map_dir(folder / "map").get_scenario_ped_crossings():
                first, second = crossing.get_edges_2d()
                assert (first[1] - first[0]) @ (second[1] - second[0]) > 0
                assert shapely.Polygon(np.concatenate([first, second[::-1]])).is_valid
                found += 1
    assert found
