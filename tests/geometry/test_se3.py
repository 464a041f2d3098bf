import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from mapstack.geometry.se3 import invert, make_transform, planar_pose, rotation_z, transform_points, yaw_rad


def random_pose(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return make_transform(Rotation.random(random_state=seed).as_matrix(), rng.normal(0, 100, 3))


def test_inverse_takes_points_back() -> None:
    dst_from_src = random_pose(0)
    points = np.random.default_rng(1).normal(0, 10, (5, 3))
    there = transform_points(dst_from_src, points)
    np.testing.assert_allclose(transform_points(invert(dst_from_src), there), points, atol=1e-9)


def test_transforms_compose_in_reading_order() -> None:
    world_from_ego, ego_from_camera = random_pose(2), random_pose(3)
    points = np.random.default_rng(4).normal(0, 10, (5, 3))
    at_once = transform_points(world_from_ego @ ego_from_camera, points)
    np.testing.assert_allclose(transform_points(world_from_ego, transform_points(ego_from_camera, points)), at_once)


def test_torch_and_numpy_agree_with_leading_axes() -> None:
    dst_from_src = np.stack([random_pose(5), random_pose(6)])
    points = np.random.default_rng(7).normal(0, 10, (2, 4, 3))
    from_torch = transform_points(torch.from_numpy(dst_from_src), torch.from_numpy(points))
    np.testing.assert_allclose(from_torch.numpy(), transform_points(dst_from_src, points))
    np.testing.assert_allclose(invert(torch.from_numpy(dst_from_src)).numpy(), invert(dst_from_src), atol=1e-12)


def test_invert_undoes_a_reflection() -> None:
    flipped = random_pose(8) @ np.diag([1.0, -1.0, 1.0, 1.0])
    np.testing.assert_allclose(invert(flipped) @ flipped, np.eye(4), atol=1e-9)


@pytest.mark.parametrize("yaw", [-3.0, -0.5, 0.0, 2.0])
def test_planar_pose_keeps_heading_and_place(yaw: float) -> None:
    tilted = rotation_z(yaw) @ Rotation.from_euler("yx", [0.05, -0.03]).as_matrix()
    world_from_ego = make_transform(tilted, np.array([5.0, -7.0, 60.0]))
    planar = planar_pose(world_from_ego)
    assert yaw_rad(planar) == pytest.approx(yaw_rad(world_from_ego))
    assert yaw_rad(planar) == pytest.approx(yaw, abs=2e-3)
    np.testing.assert_array_equal(planar[:3, 3], world_from_ego[:3, 3])
    np.testing.assert_array_equal(planar[2, :3], [0.0, 0.0, 1.0])
