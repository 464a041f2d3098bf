"""Pictures and points must show the map where the map says it is."""

import cv2
import numpy as np
import pytest

from mapstack.datasets.town.camera import View, render
from mapstack.datasets.town.ground import KERB_M
from mapstack.datasets.town.painter import Painter
from mapstack.datasets.town.rig import nuscenes_lidar, nuscenes_rig
from mapstack.geometry.camera import project
from mapstack.geometry.se3 import invert, transform_points

TIME_S = 2.0


def front_camera():
    return next(camera for camera in nuscenes_rig(800) if camera.name == "CAM_FRONT")


def pixels_of(points_xy, stage, camera):
    """Rounded (row, column) of ground points between 5 and 22 m ahead inside the picture, else -1."""
    camera_from_world = invert(stage.ego.world_from_ego(TIME_S) @ camera.ego_from_camera)
    points = np.concatenate([points_xy, np.zeros((len(points_xy), 1))], axis=1)
    uv, depth = project(transform_points(camera_from_world, points), camera.intrinsics)
    pixel = np.round(uv[:, ::-1]).astype(int)
    inside = (depth > 5.0) & (depth < 22.0) & (pixel >= 0).all(1)
    inside &= (pixel[:, 0] < camera.size[1]) & (pixel[:, 1] < camera.size[0])
    return np.where(inside[:, None], pixel, -1)


@pytest.fixture(scope="module")
def picture(stage):
    return stage.photograph(front_camera(), TIME_S, 0).astype(float)


def test_yellow_paint_lies_where_the_map_has_the_road_divider(stage, world, picture):
    network = world.districts[0].map.network
    lines = [line for line in world.districts[0].map.lines if line.layer == "road_divider"]
    offsets = np.arange(-0.9, 0.95, 0.1)
    rows = []
    for line in lines:
        curve = network.roads[line.road].curve
        poses = curve.poses(np.arange(*line.span, 0.5))
        normal = np.stack([-np.sin(poses[:, 2]), np.cos(poses[:, 2])], 1)
        pixels = [pixels_of(poses[:, :2] + (line.left_m + by) * normal, stage, front_camera()) for by in offsets]
        seen = (np.stack(pixels) >= 0).all((0, 2))
        rows.append([picture[p[seen, 0], p[seen, 1]] @ [-1.0, 0.0, 1.0] for p in pixels])
    yellowness = np.concatenate(rows, axis=1).mean(1)  # red minus blue, by distance from the map's line
    assert abs(offsets[yellowness.argmax()]) < 0.25
    assert yellowness.max() > yellowness[[0, -1]].max() + 25.0


def test_laser_points_lie_on_road_or_kerb_height_as_the_map_says(stage, world):
    import shapely

    sweep = stage.scan(nuscenes_lidar(640), TIME_S, 0)
    pose = stage.ego.world_from_ego(TIME_S) @ nuscenes_lidar(640).ego_from_lidar
    points = transform_points(pose, sweep.points)
    low = (points[:, 2] < 0.3) & (sweep.owner < 0)
    on_road = shapely.contains_xy(world.districts[0].map.drivable, points[low, 0], points[low, 1])
    to_kerb = shapely.distance(world.districts[0].map.drivable.boundary, shapely.points(points[low, :2]))
    clear = to_kerb > 0.3
    assert (on_road & clear).sum() > 1000 and (~on_road & clear).sum() > 500
    assert abs(np.median(points[low][on_road & clear, 2])) < 0.01
    assert abs(np.median(points[low][~on_road & clear, 2]) - KERB_M) < 0.01


def test_paint_shines_in_the_laser(stage):
    from mapstack.datasets.town.lidar import cast

    reflectance = stage.ground.reflectance
    assert np.percentile(reflectance, 99.8) > 60 and np.median(reflectance) < 30
    sweep = cast(
        nuscenes_lidar(640),
        stage.ego.world_from_ego(0.0) @ nuscenes_lidar(640).ego_from_lidar,
        stage.ground,
        stage.scenery,
        np.random.default_rng(0),
    )
    assert sweep.intensity.min() >= 0 and sweep.intensity.max() <= 255
    assert set(np.unique(sweep.ring)) <= set(range(32))


def test_laser_points_on_vehicles_lie_on_their_boxes(stage):
    sweep = stage.scan(nuscenes_lidar(1080), TIME_S, 0)
    hit = sweep.points[sweep.owner >= 0]
    assert len(hit) > 20
    boxes = stage.vehicles.boxes(TIME_S)
    points = transform_points(stage.ego.world_from_ego(TIME_S) @ nuscenes_lidar(4).ego_from_lidar, hit)
    gap = np.linalg.norm(points[:, None, :2] - boxes.center[None], axis=-1) - np.linalg.norm(boxes.half, axis=1)
    assert (gap.min(1) < 0.2).all()


def test_vehicles_and_houses_cover_the_ground_behind_them(stage):
    camera = front_camera()
    view = View(camera.size, camera.intrinsics, stage.ego.world_from_ego(TIME_S) @ camera.ego_from_camera)
    nothing = Painter.of_scene(stage.scenery[:0], stage.weather, np.random.default_rng(0))
    bare = render(view, stage.ground, nothing, stage.weather, np.random.default_rng(0)).astype(int)
    full = stage.photograph(camera, TIME_S, 0).astype(int)
    hidden = (np.abs(cv2.blur(bare.astype(np.float32), (5, 5)) - cv2.blur(full.astype(np.float32), (5, 5))) > 25).any(
        -1
    )
    assert hidden.mean() > 0.03
    assert hidden[: camera.size[1] // 2].mean() > hidden[-40:].mean()


def test_the_same_moment_gives_the_same_bytes(stage):
    camera = nuscenes_rig(200)[3]
    first, again = (stage.photograph(camera, TIME_S, 5) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (stage.photograph(camera, TIME_S, 6) != first).any()
