import numpy as np
import pytest

from mapstack.datasets.transforms import LidarDepth
from mapstack.datasets.transforms.depth import nearest_depth
from mapstack.errors import ConfigError

INTRINSICS = np.array([[50.0, 0, 31.5], [0, 50.0, 15.5], [0, 0, 1]])


def test_the_nearest_point_of_each_cell_counts() -> None:
    generator = np.random.default_rng(0)
    points = generator.uniform((-20, -6, -5), (20, 6, 40), (3000, 3))
    camera_from_ego = np.eye(4)[:3]
    (depth,) = nearest_depth(points, (INTRINSICS @ camera_from_ego)[None], 8, (4, 8))
    expected = np.zeros((4, 8))
    for x, y, z in points:
        if z > 0.5:
            col, row = int(np.floor((50 * x / z + 32) / 8)), int(np.floor((50 * y / z + 16) / 8))
            if 0 <= col < 8 and 0 <= row < 4:
                expected[row, col] = min(expected[row, col] or np.inf, z)
    np.testing.assert_allclose(depth, expected, rtol=1e-5)
    assert depth.dtype == np.float32 and (expected > 0).mean() > 0.9


def make_results() -> dict:
    """One camera looking along x, one invalid; a new near point and an old nearer one on the axis."""
    ego_from_camera = np.eye(4)
    ego_from_camera[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    points = np.array([[10.0, 0, 0, 0, 0.0], [20.0, 0, 0, 0, 0.0], [5.0, 0, 0, 0, 0.1]], np.float32)
    return {
        "images": [np.zeros((32, 64, 3), np.uint8)] * 2,
        "points": points,
        "intrinsics": np.stack([INTRINSICS] * 2),
        "ego_from_camera": np.stack([ego_from_camera] * 2),
        "camera_valid": np.array([True, False]),
    }


def test_old_sweeps_and_invalid_cameras_give_no_depth() -> None:
    out = LidarDepth(stride=16)(make_results())
    assert out["depth"].shape == (2, 2, 4) and out["depth"].dtype == np.float32
    assert out["depth"][0].max() == pytest.approx(10.0) and (out["depth"][0] > 0).sum() == 1
    assert not out["depth"][1].any() and "points" in out


def test_points_can_teach_a_camera_model_and_go() -> None:
    assert "points" not in LidarDepth(stride=16, keep_points=False)(make_results())


def test_no_points_give_zero_depth() -> None:
    results = make_results()
    results["points"] = np.zeros((0, 5), np.float32)
    assert not LidarDepth(stride=16)(results)["depth"].any()


def test_wrong_order_and_stride_are_refused() -> None:
    results = make_results()
    with pytest.raises(ConfigError, match="stride 24 does not divide"):
        LidarDepth(stride=24)(results)
    del results["points"]
    with pytest.raises(ConfigError, match="must stand after"):
        LidarDepth()(results)
