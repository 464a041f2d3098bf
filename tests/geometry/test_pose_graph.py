import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from mapstack.geometry.odometry import OdometryNoise, simulate_odometry
from mapstack.geometry.pose_graph import GraphNoise, fuse_with_odometry, optimize_pose_graph
from mapstack.geometry.se3 import invert, make_transform, rotation_z, transform_points

NOISE = GraphNoise(absolute_m=1.0, absolute_rad=0.1, relative_m=0.05, relative_rad=0.01)


def drive(count: int, seed: int = 0) -> NDArray:
    """A winding, tilting drive, (N, 4, 4)."""
    rng = np.random.default_rng(seed)
    poses = [make_transform(rotation_z(2.0), np.array([300.0, -80.0, 5.0]))]
    for turn in rng.normal(0, [0.02, 0.02, 0.2], (count - 1, 3)):
        step = make_transform(Rotation.from_rotvec(turn).as_matrix(), np.array([4.0, 0.1, 0.05]))
        poses.append(poses[-1] @ step)
    return np.stack(poses)


def shaken(poses: NDArray, sigma_m: float, sigma_rad: float, seed: int) -> NDArray:
    rng = np.random.default_rng(seed)
    turns, shifts = rng.normal(0, sigma_rad, (len(poses), 3)), rng.normal(0, sigma_m, (len(poses), 3))
    noise = [make_transform(Rotation.from_rotvec(turn).as_matrix(), shifts[i]) for i, turn in enumerate(turns)]
    return poses @ np.stack(noise)


def steps(poses: NDArray, pairs: list[tuple[int, int]]) -> dict[tuple[int, int], NDArray]:
    return {(i, j): invert(poses[i]) @ poses[j] for i, j in pairs}


def test_a_known_graph_is_recovered() -> None:
    """One anchor and exact relative poses, with a loop closed; the start is a metre and ten degrees off."""
    true = drive(12)
    pairs = [(i, i + 1) for i in range(11)] + [(0, 7), (3, 11)]
    found = optimize_pose_graph(shaken(true, 1.0, 0.17, seed=1), {0: true[0]}, steps(true, pairs), NOISE)
    np.testing.assert_allclose(found, true, atol=1e-6)


def residuals(flat: NDArray, absolute: dict, relative: dict, noise: GraphNoise) -> NDArray:
    """The same problem for scipy, each error over its standard deviation; those of odometry are twists of SE(3)."""

    def twist(error: NDArray, sigma_m: float, sigma_rad: float) -> NDArray:
        rotvec = Rotation.from_matrix(error[:3, :3]).as_rotvec()
        angle = np.linalg.norm(rotvec) + 1e-12
        skew = np.cross(np.eye(3), -rotvec)
        series = (1 / angle**2) * (1 - angle / (2 * np.tan(angle / 2)))
        left_inverse = np.eye(3) - 0.5 * skew + series * skew @ skew
        return np.concatenate([rotvec / sigma_rad, left_inverse @ error[:3, 3] / sigma_m])

    poses = [make_transform(Rotation.from_rotvec(v[:3]).as_matrix(), v[3:]) for v in flat.reshape(-1, 6)]
    parts = []
    for i, measured in absolute.items():
        error = invert(measured) @ poses[i]
        rotvec = Rotation.from_matrix(error[:3, :3]).as_rotvec()
        parts.append(np.concatenate([rotvec / noise.absolute_rad, error[:3, 3] / noise.absolute_m]))
    parts += [
        twist(invert(m) @ invert(poses[i]) @ poses[j], noise.relative_m, noise.relative_rad)
        for (i, j), m in relative.items()
    ]
    return np.concatenate(parts)


def test_contradicting_measurements_are_weighed_as_an_independent_solver_does() -> None:
    true = drive(5, seed=3)
    predicted = shaken(true, 1.0, 0.1, seed=4)
    measured = steps(shaken(true, 0.03, 0.01, seed=5), [(i, i + 1) for i in range(4)])
    found = optimize_pose_graph(predicted, dict(enumerate(predicted)), measured, NOISE)
    start = np.concatenate([np.r_[Rotation.from_matrix(p[:3, :3]).as_rotvec(), p[:3, 3]] for p in predicted])
    problem = (dict(enumerate(predicted)), measured, NOISE)
    solved = least_squares(residuals, start, args=problem, xtol=1e-14, ftol=1e-14, gtol=1e-14)
    rotations = Rotation.from_rotvec(solved.x.reshape(-1, 6)[:, :3]).as_matrix()
    np.testing.assert_allclose(found[:, :3, :3], rotations, atol=1e-5)
    np.testing.assert_allclose(found[:, :3, 3], solved.x.reshape(-1, 6)[:, 3:], atol=1e-4)
    assert np.linalg.norm(found - predicted) > 0.5, "nothing was corrected"


def test_planar_poses_stay_planar() -> None:
    flat = np.stack([make_transform(rotation_z(0.1 * i), np.array([4.0 * i, 0.2 * i * i, 7.0])) for i in range(6)])
    rng = np.random.default_rng(0)
    noise = [make_transform(rotation_z(a), np.array([x, y, 0])) for a, x, y in rng.normal(0, 0.1, (6, 3))]
    fused = fuse_with_odometry(flat @ np.stack(noise), flat, NOISE)
    np.testing.assert_allclose(fused[:, 2, 3], 7.0, atol=1e-9)
    np.testing.assert_allclose(fused[:, 2, :3], [[0, 0, 1]] * 6, atol=1e-9)


def errors(found: NDArray, true: NDArray) -> NDArray:
    return np.linalg.norm(found[:, :3, 3] - true[:, :3, 3], axis=1)


@pytest.mark.parametrize("keep", ["middle", "last"])
def test_odometry_takes_noise_out_of_predictions(keep: str) -> None:
    true = drive(30, seed=6)
    times_s = np.arange(30) * 0.5
    odometry = simulate_odometry(true, times_s, OdometryNoise(), np.random.default_rng(7))
    predicted = shaken(true, 1.0, 0.1, seed=8)
    fused = fuse_with_odometry(predicted, odometry, NOISE, window=9, keep=keep)
    assert np.median(errors(fused, true)) < 0.6 * np.median(errors(predicted, true))
    # Where odometry says where its own origin is must not matter.
    elsewhere = make_transform(rotation_z(1.0), np.array([1e3, 0, 0])) @ odometry
    np.testing.assert_allclose(fuse_with_odometry(predicted, elsewhere, NOISE, 9, keep), fused, atol=1e-5)


def test_a_place_that_is_known_across_the_road_alone_holds_there_alone() -> None:
    """Odd frames are lost by metres along their own heading and say so; told, the graph takes that from the others."""
    rng = np.random.default_rng(3)
    true = np.stack([make_transform(rotation_z(0.05 * i), np.array([3.0 * i, 0.1 * i * i, 0.0])) for i in range(20)])
    spread = np.where(np.arange(20) % 2, 3.0, 0.1)
    off = [make_transform(np.eye(3), np.array([along, 0, 0])) for along in spread * rng.standard_normal(20)]
    predicted = true @ np.stack(off)
    told = np.zeros((20, 3, 3))
    told[:, 0, 0] = spread**2
    noise = GraphNoise(0.1, 0.02, 0.05, 0.005)
    blind, aware = (fuse_with_odometry(predicted, true, noise, 10, "last", own) for own in (None, told))
    assert np.median(errors(aware, true)) < 0.15 < 0.4 < np.median(errors(blind, true))
    turned = make_transform(rotation_z(2.0), np.array([1e3, 0, 0]))  # the covariance is of the body's axes
    moved = fuse_with_odometry(turned @ predicted, true, noise, 10, "last", told)
    np.testing.assert_allclose(moved, turned @ aware, atol=1e-5)


def test_the_last_frame_of_a_window_knows_nothing_of_the_future() -> None:
    true = drive(12, seed=9)
    predicted = shaken(true, 1.0, 0.1, seed=10)
    whole = fuse_with_odometry(predicted, true, NOISE, window=5, keep="last")
    np.testing.assert_array_equal(whole[:8], fuse_with_odometry(predicted[:8], true[:8], NOISE, 5, "last"))
    assert np.abs(fuse_with_odometry(predicted, true, NOISE, 5)[:8] - whole[:8]).max() > 1e-3


def test_one_wild_prediction_is_overruled() -> None:
    true = drive(7, seed=11)
    predicted = shaken(true, 0.2, 0.02, seed=12)
    predicted[3] = make_transform(rotation_z(3.0), np.array([0.0, 0.0, 0.0])) @ predicted[3]
    noise = GraphNoise(0.2, 0.02, 0.05, 0.01, huber=1.0)
    fused = fuse_with_odometry(predicted, true, noise)
    assert errors(predicted, true)[3] > 100
    assert errors(fused, true).max() < 0.6


def test_dead_reckoning_is_exact_without_noise_and_drifts_with_it() -> None:
    true, times_s = drive(40), np.arange(40) * 0.5
    exact = simulate_odometry(true, times_s, OdometryNoise(0, 0, 0, 0), np.random.default_rng(0))
    np.testing.assert_allclose(true[0] @ exact, true, atol=1e-9)
    noise = OdometryNoise(scale=0.02, slip_m=0.0, yaw_rad=0.0, yaw_drift_rad_s=0.0)
    scaled = simulate_odometry(true, times_s, noise, np.random.default_rng(1))
    factor = 1 + 0.02 * np.random.default_rng(1).standard_normal()
    travelled = transform_points(invert(true[0]), true[:, :3, 3])
    np.testing.assert_allclose(scaled[:, :3, 3], factor * travelled, atol=1e-9)


def test_impossible_graphs_are_refused() -> None:
    true = drive(3)
    with pytest.raises(ValueError, match="floats freely"):
        optimize_pose_graph(true, {}, steps(true, [(0, 1)]), NOISE)
    with pytest.raises(ValueError, match="must be positive"):
        GraphNoise(1.0, 0.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="middle or last"):
        fuse_with_odometry(true, true, NOISE, keep="first")
