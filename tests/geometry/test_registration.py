import numpy as np
import pytest
from numpy.typing import NDArray

from mapstack.geometry.registration import LineField, RegistrationOptions, align_to_lines, planar_transform

DIVIDER, BOUNDARY = 0, 1
# A bending road with a side street: every direction is told by something.
ROAD = [
    (np.array([[-40.0, 3.5], [0, 3.5], [40, 8.0]]), DIVIDER),
    (np.array([[-40.0, 0.0], [0, 0.0], [40, 4.5]]), DIVIDER),
    (np.array([[-40.0, 7.0], [0, 7.0], [40, 11.5]]), BOUNDARY),
    (np.array([[-40.0, -3.5], [8, -3.5], [8, -40]]), BOUNDARY),
]
OFF = np.array([1.4, -1.1, np.radians(2.5)])


def field(lines: list[tuple[NDArray, int]]) -> LineField:
    return LineField([line for line, _ in lines], np.array([label for _, label in lines]))


def detected(lines: list[tuple[NDArray, int]], off: NDArray, noise_m: float = 0.0) -> tuple[NDArray, NDArray]:
    """Points on the lines every metre within 25 m, as a vehicle sees them whose reported pose is off by ``off``."""
    points, labels = [], []
    for line, label in lines:
        for a, b in zip(line, line[1:], strict=False):
            fractions = np.arange(0, 1, 1 / np.hypot(*(b - a)))[:, None]
            points.append(a + fractions * (b - a))
            labels.append(np.full(len(fractions), label))
    points, labels = np.concatenate(points), np.concatenate(labels)
    near = np.abs(points).max(1) < 25
    points = points[near] + np.random.default_rng(0).normal(0, noise_m, (near.sum(), 2))
    inverse = np.linalg.inv(planar_transform(off))
    return points @ inverse[:2, :2].T + inverse[:2, 2], labels[near]


def test_exact_detections_are_laid_on_the_map_exactly() -> None:
    wide = RegistrationOptions(prior_m=100.0, prior_rad=10.0, start_sigmas=0.0)
    found = align_to_lines(*detected(ROAD, OFF), field(ROAD), wide)
    np.testing.assert_allclose(found.pose, OFF, atol=2e-3)
    assert found.inliers == 1.0


def test_noise_misses_and_inventions_leave_a_decimetre() -> None:
    points, labels = detected(ROAD[1:], OFF, noise_m=0.15)
    rng = np.random.default_rng(1)
    points = np.concatenate([points, rng.uniform(-25, 25, (40, 2))])
    labels = np.concatenate([labels, rng.integers(0, 2, 40)])
    found = align_to_lines(points, labels, field(ROAD))
    assert np.abs(found.pose[:2] - OFF[:2]).max() < 0.15
    assert abs(found.pose[2] - OFF[2]) < np.radians(0.4)
    assert 0.5 < found.inliers < 0.95


def test_a_straight_road_leaves_the_place_along_it_to_the_prior() -> None:
    straight = [(line[:2], label) for line, label in ROAD[:3]]
    far = [(np.array([[-200.0, y], [200.0, y]]), label) for (line, label) in straight for y in [line[0, 1]]]
    options = RegistrationOptions()
    found = align_to_lines(*detected(far, OFF), field(far), options)
    assert abs(found.pose[0]) < 0.1, "nothing says where along the road"
    assert found.pose[1] == pytest.approx(OFF[1] - np.sin(OFF[2]) * OFF[0], abs=0.15)
    assert found.pose[2] == pytest.approx(OFF[2], abs=np.radians(0.2))
    deviations = np.sqrt(np.diag(found.covariance))
    assert deviations[0] > 0.95 * options.prior_m
    assert deviations[1] < 0.2


def test_a_wrong_lane_is_left_again() -> None:
    """Starts at both sides: begun at 0 alone, an error of nearly a lane's width ends in the next lane."""
    off = np.array([0.0, 2.2, 0.0])
    points, labels = detected(ROAD, off)
    alone = align_to_lines(points, labels, field(ROAD), RegistrationOptions(start_sigmas=0.0, widest_m=0.7))
    found = align_to_lines(points, labels, field(ROAD), RegistrationOptions(widest_m=0.7))
    assert abs(alone.pose[1] - off[1]) > 1
    np.testing.assert_allclose(found.pose, off, atol=0.1)
    assert found.cost < alone.cost


def test_classes_are_not_mixed() -> None:
    """A divider half a metre beside a boundary must not draw the boundary's detections."""
    lines = [(np.array([[-40.0, 0], [40.0, 0]]), BOUNDARY), (np.array([[-40.0, 0.5], [40.0, 0.5]]), DIVIDER)]
    found = align_to_lines(*detected(lines[:1], np.array([0, 0.5, 0])), field(lines))
    assert found.pose[1] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("case", ["no detections", "no map", "another class"])
def test_nothing_to_go_by_is_the_prior(case: str) -> None:
    points, labels = detected(ROAD, OFF)
    lines = ROAD
    if case == "no detections":
        points, labels = points[:0], labels[:0]
    elif case == "no map":
        lines = []
    else:
        labels = labels + 7
    options = RegistrationOptions()
    found = align_to_lines(points, labels, field(lines), options)
    np.testing.assert_allclose(found.pose, 0, atol=1e-9)
    np.testing.assert_allclose(
        np.sqrt(np.diag(found.covariance)), [options.prior_m, options.prior_m, options.prior_rad]
    )
    assert found.inliers == 0


def test_a_line_without_length_is_no_line() -> None:
    lines = [*ROAD, (np.zeros((3, 2)), DIVIDER)]
    found = align_to_lines(*detected(ROAD, OFF), field(lines))
    np.testing.assert_allclose(found.pose[1], OFF[1], atol=0.1)
