import numpy as np
import pytest

from mapstack.geometry.gnss import ErrorProcess, GnssNoise, apply_gnss_errors, draw_gnss_errors
from mapstack.geometry.se3 import make_transform, planar_pose, rotation_z, yaw_rad


def many(process: ErrorProcess, times_s: np.ndarray, drives: int = 20_000) -> np.ndarray:
    """(T, drives): the dimensions of a draw are independent drives."""
    return process.draw(times_s, np.random.default_rng(0), drives)


def test_a_free_walk_spreads_as_the_root_of_time() -> None:
    times_s = np.array([0.0, 1.0, 4.0, 100.0])
    errors = many(ErrorProcess(white=0.0, bias=0.5, walk=0.2), times_s)
    np.testing.assert_allclose(errors.std(axis=1), np.sqrt(0.25 + 0.04 * times_s), rtol=0.03)


def test_a_stationary_process_is_as_wide_as_it_says_at_every_instant() -> None:
    errors = many(ErrorProcess.stationary(2.0, white_share=0.2, relaxation_s=30.0), np.array([0.0, 0.1, 7.0, 500.0]))
    np.testing.assert_allclose(errors.std(axis=1), 2.0, rtol=0.03)
    # Neighbouring frames share the bias, 80 % of the variance; after many relaxation times nothing is shared.
    correlation = np.corrcoef(errors)
    assert correlation[0, 1] == pytest.approx(0.8 * np.exp(-0.1 / 30), abs=0.02)
    assert abs(correlation[0, 3]) < 0.03


def test_only_white_noise_is_new_at_every_instant() -> None:
    errors = many(ErrorProcess(white=0.3), np.array([0.0, 0.0, 1.0]))
    np.testing.assert_allclose(np.corrcoef(errors), np.eye(3), atol=0.03)
    np.testing.assert_allclose(errors.std(axis=1), 0.3, rtol=0.03)


def test_a_longer_drive_begins_like_a_shorter_one() -> None:
    noise, times_s = GnssNoise.stationary(1.0, 2.0), np.arange(10) * 0.5
    short = draw_gnss_errors(times_s[:4], noise, np.random.default_rng(7))
    longer = draw_gnss_errors(times_s, noise, np.random.default_rng(7))
    np.testing.assert_array_equal(longer[:4], short)
    assert draw_gnss_errors(times_s[:0], noise, np.random.default_rng(7)).shape == (0, 3)


def test_no_noise_is_no_error() -> None:
    errors = draw_gnss_errors(np.arange(5.0), GnssNoise.stationary(0.0, 0.0), np.random.default_rng(0))
    np.testing.assert_array_equal(errors, 0.0)


def test_a_reported_pose_is_moved_in_the_world_and_turned_on_the_spot() -> None:
    tilt = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
    true = make_transform(rotation_z(0.5) @ tilt, np.array([10.0, 20.0, 3.0]))
    (reported,) = apply_gnss_errors(true[None], np.array([[1.0, -2.0, 0.1]]))
    np.testing.assert_allclose(reported[:3, 3], [11.0, 18.0, 3.0])
    assert yaw_rad(planar_pose(reported)) - yaw_rad(planar_pose(true)) == pytest.approx(0.1)
    np.testing.assert_allclose(reported[2, :3], true[2, :3])


@pytest.mark.parametrize("bad", [{"white": -1.0}, {"walk": float("nan")}, {"relaxation_s": 0.0}])
def test_nonsense_is_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match="standard deviations"):
        ErrorProcess(**bad)


def test_time_does_not_run_back() -> None:
    with pytest.raises(ValueError, match="not decrease"):
        ErrorProcess(white=1.0).draw(np.array([1.0, 0.0]), np.random.default_rng(0))
