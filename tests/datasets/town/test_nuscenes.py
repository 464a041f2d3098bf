"""nuscenes-devkit must open the town, draw it, and find it consistent."""

from pathlib import Path

import numpy as np
import pytest
from nuscenes.map_expansion.arcline_path_utils import discretize_lane
from nuscenes.utils.data_classes import LidarPointCloud
from nuscenes.utils.geometry_utils import points_in_box
from pyquaternion import Quaternion


def test_every_file_of_the_tables_is_there_and_of_its_size(tables):
    import cv2

    assert len(tables.table_names) == 13
    for data in tables.sample_data:
        path = Path(tables.dataroot) / data["filename"]
        if data["fileformat"] == "jpg":
            assert cv2.imread(str(path)).shape == (data["height"], data["width"], 3)
        else:
            assert path.stat().st_size % 20 == 0 and path.stat().st_size > 20_000


def test_chains_run_forward_in_time(tables):
    for scene in tables.scene:
        token, names = scene["first_sample_token"], []
        while token:
            names.append(token)
            token = tables.get("sample", token)["next"]
        assert len(names) == scene["nbr_samples"] and names[-1] == scene["last_sample_token"]
        data = tables.get("sample_data", tables.get("sample", names[0])["data"]["LIDAR_TOP"])
        stamps, keyframes = [data["timestamp"]], [data["is_key_frame"]]
        while data["next"]:
            following = tables.get("sample_data", data["next"])
            assert following["prev"] == data["token"]
            data = following
            stamps.append(data["timestamp"])
            keyframes.append(data["is_key_frame"])
        assert (np.diff(stamps) > 0).all() and sum(keyframes) == len(names) and len(stamps) == 3 * len(names) - 2


def test_each_sensor_has_the_pose_of_its_own_moment(tables):
    sample = tables.sample[3]
    poses = {
        channel: tables.get("ego_pose", tables.get("sample_data", token)["ego_pose_token"])
        for channel, token in sample["data"].items()
    }
    lidar = poses.pop("LIDAR_TOP")
    assert lidar["timestamp"] == sample["timestamp"]
    moved = {
        channel: np.linalg.norm(np.subtract(pose["translation"], lidar["translation"]))
        for channel, pose in poses.items()
    }
    lag_s = {channel: abs(pose["timestamp"] - lidar["timestamp"]) * 1e-6 for channel, pose in poses.items()}
    assert 0.15 < moved["CAM_FRONT_LEFT"] < 0.6  # 43 ms at 5 to 10 m/s
    assert all(3.0 < moved[channel] / lag < 12.0 for channel, lag in lag_s.items() if lag > 0.005)


def test_boxes_hold_the_points_that_the_table_counts(tables):
    sound = []
    for annotation in tables.sample_annotation:
        token = tables.get("sample", annotation["sample_token"])["data"]["LIDAR_TOP"]
        path, boxes, _ = tables.get_sample_data(token, selected_anntokens=[annotation["token"]])
        cloud = LidarPointCloud.from_file(path)
        inside = points_in_box(boxes[0], cloud.points[:3], wlh_factor=1.1).sum()
        sound.append(inside >= 0.8 * annotation["num_lidar_pts"])
    assert len(sound) > 20 and np.mean(sound) > 0.95


def test_moving_instances_have_a_speed(tables):
    moving = [
        tables.box_velocity(annotation["token"])
        for annotation in tables.sample_annotation
        if tables.get("attribute", annotation["attribute_tokens"][0])["name"] == "vehicle.moving" and annotation["prev"]
    ]
    speeds = np.linalg.norm(moving, axis=1)
    assert len(speeds) > 3 and (speeds[np.isfinite(speeds)] < 11.0).all() and np.nanmax(speeds) > 3.0


def test_the_devkit_draws_a_sample(tables, tmp_path):
    tables.render_sample(tables.sample[2]["token"], out_path=str(tmp_path / "sample.png"), verbose=False)
    tables.render_pointcloud_in_image(
        tables.sample[2]["token"], camera_channel="CAM_BACK", out_path=str(tmp_path / "points.png"), verbose=False
    )
    assert all((tmp_path / f"{name}.png").stat().st_size > 5_000 for name in ("sample", "points"))


@pytest.mark.usefixtures("working_descartes")
def test_the_devkit_draws_the_map(tables, nuscenes_map, tmp_path):
    x, y, _ = tables.ego_pose[0]["translation"]
    box = (x - 50, y - 50, x + 50, y + 50)
    figure, _ = nuscenes_map.render_map_patch(box, nuscenes_map.non_geometric_layers, figsize=(4, 4))
    figure.savefig(tmp_path / "patch.png")
    nuscenes_map.render_egoposes_on_fancy_map(
        tables, scene_tokens=[tables.scene[0]["token"]], verbose=False, out_path=str(tmp_path / "fancy.png")
    )
    nuscenes_map.render_map_in_image(
        tables, tables.sample[2]["token"], layer_names=["road_segment", "lane", "ped_crossing", "walkway"],
        out_path=str(tmp_path / "image.png"), verbose=False, min_polygon_area=0,
    )  # fmt: skip
    assert all((tmp_path / f"{name}.png").stat().st_size > 3_000 for name in ("patch", "fancy", "image"))


def test_every_record_of_the_map_resolves_and_is_valid(nuscenes_map):
    for layer in nuscenes_map.lookup_polygon_layers:
        for record in getattr(nuscenes_map, layer):
            for token in record.get("polygon_tokens", [record.get("polygon_token")]):
                polygon = nuscenes_map.extract_polygon(token)
                # A sharp connector's edges may cross; the devkit passes such polygons over, as on real maps.
                assert polygon.is_valid or layer == "lane_connector", (layer, record["token"])
    for layer in ("road_divider", "lane_divider"):
        for record in getattr(nuscenes_map, layer):
            line = nuscenes_map.extract_line(record["line_token"])
            assert line.length > 1.0 and len(record[f"{layer}_segments"]) == len(line.coords)


def test_arcline_paths_lead_from_lane_to_lane(nuscenes_map):
    for token, ways in nuscenes_map.connectivity.items():
        end = nuscenes_map.get_arcline_path(token)[-1]["end_pose"]
        path = np.array(discretize_lane(nuscenes_map.get_arcline_path(token), 0.5))
        np.testing.assert_allclose(path[-1, :2], end[:2], atol=1e-3)
        assert np.linalg.norm(np.diff(path[:, :2], axis=0), axis=1).max() < 0.6
        for following in ways["outgoing"]:
            start = nuscenes_map.get_arcline_path(following)[0]["start_pose"]
            np.testing.assert_allclose(start[:2], end[:2], atol=1e-4)
            assert token in nuscenes_map.get_incoming_lane_ids(following)


def test_the_ego_drives_on_a_lane(tables, nuscenes_map):
    token = tables.sample[0]["data"]["LIDAR_TOP"]
    pose = tables.get("ego_pose", tables.get("sample_data", token)["ego_pose_token"])
    x, y, _ = pose["translation"]
    lane = nuscenes_map.get_closest_lane(x, y, radius=5)
    assert lane
    forward = Quaternion(pose["rotation"]).rotation_matrix[:2, 0]
    path = np.array(discretize_lane(nuscenes_map.get_arcline_path(lane), 0.5))
    nearest = path[np.linalg.norm(path[:, :2] - [x, y], axis=1).argmin()]
    assert forward @ [np.cos(nearest[2]), np.sin(nearest[2])] > 0.97
    assert np.hypot(*(nearest[:2] - [x, y])) < 1.0
    assert nuscenes_map.layers_on_point(x, y, ["road_segment"])["road_segment"]


def test_the_mask_knows_street_from_meadow(tables):
    mask = tables.map[0]["mask"]
    positions = np.array([pose["translation"][:2] for pose in tables.ego_pose])
    assert mask.is_on_mask(positions[:, 0], positions[:, 1]).all()
    assert not mask.is_on_mask(np.array([5.0]), np.array([5.0])).any()
