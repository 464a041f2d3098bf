import numpy as np
import pytest
import torch

from mapstack.geometry.camera import check_intrinsics, project, unproject

INTRINSICS = np.array([[1266.0, 0.0, 816.0], [0.0, 1266.0, 491.0], [0.0, 0.0, 1.0]])


def test_a_point_on_the_axis_falls_on_the_principal_point() -> None:
    pixels, depth = project(np.array([[0.0, 0.0, 7.0]]), INTRINSICS)
    np.testing.assert_allclose(pixels, [[816.0, 491.0]])
    np.testing.assert_allclose(depth, [7.0])


def test_right_and_down_grow_the_pixel() -> None:
    pixels, _ = project(np.array([[1.0, 2.0, 10.0]]), INTRINSICS)
    np.testing.assert_allclose(pixels, [[816.0 + 126.6, 491.0 + 253.2]])


def test_unproject_undoes_project() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform([-20, -5, 1], [20, 5, 60], (2, 30, 3))
    pixels, depth = project(points, INTRINSICS)
    np.testing.assert_allclose(unproject(pixels, depth, INTRINSICS), points, atol=1e-9)


def test_torch_agrees_and_points_behind_have_negative_depth() -> None:
    points = np.random.default_rng(1).normal(0, 10, (6, 3))
    pixels, depth = project(points, INTRINSICS)
    pixels_torch, depth_torch = project(torch.from_numpy(points), torch.from_numpy(INTRINSICS))
    np.testing.assert_allclose(pixels_torch.numpy(), pixels)
    np.testing.assert_array_equal(depth_torch.numpy() < 0, points[:, 2] < 0)


def test_depth_zero_gives_finite_pixels() -> None:
    pixels, _ = project(np.zeros((1, 3)), INTRINSICS)
    assert np.isfinite(pixels).all()


@pytest.mark.parametrize(
    "intrinsics",
    [np.zeros((3, 3)), np.full((3, 3), np.nan), np.eye(4), np.diag([-1.0, 1.0, 1.0])],
    ids=["zero", "nan", "shape", "negative"],
)
def test_bad_intrinsics_are_named(intrinsics: np.ndarray) -> None:
    with pytest.raises(ValueError, match="CAM_FRONT"):
        check_intrinsics(intrinsics, "CAM_FRONT")
    check_intrinsics(INTRINSICS, "CAM_FRONT")
