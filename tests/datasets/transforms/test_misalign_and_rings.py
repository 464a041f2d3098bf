"""Errors made on purpose: cameras moved off the LiDAR, rings lost."""

import numpy as np
import pytest

from mapstack.datasets.transforms import AugmentBEV, DropRings, MisalignSensor
from mapstack.datasets.transforms.rings import ring_of
from mapstack.errors import ConfigError
from mapstack.geometry.se3 import make_transform, rotation_z, transform_points, yaw_rad

NUM_RINGS, ELEVATION = 4, (-20.0, 10.0)


def with_cameras(frame: dict) -> dict:
    aug = frame.get("aug_from_ego", np.eye(4))
    poses = np.stack([make_transform(rotation_z(yaw), np.array([1.0, 0.5, 1.6])) for yaw in (0.0, 2.0)])
    return frame | {"ego_from_camera": aug @ poses}


@pytest.mark.parametrize("seed", range(5))
def test_the_error_has_the_size_that_was_asked_for_and_moves_all_cameras_alike(frame: dict, seed: int) -> None:
    before = with_cameras(frame | {"seed": seed})
    after = MisalignSensor("camera", 0.5, 1.0)(dict(before))
    error = after["sensor_error"]
    assert np.hypot(*error[:2, 3]) == pytest.approx(0.5) and error[2, 3] == 0
    assert abs(np.rad2deg(yaw_rad(error))) == pytest.approx(1.0)
    np.testing.assert_allclose(after["ego_from_camera"], error @ before["ego_from_camera"])
    assert (before["ego_from_camera"] != after["ego_from_camera"]).any(), "the input's array is not changed"


def test_directions_differ_between_frames_and_half_sizes_are_drawn(frame: dict) -> None:
    errors = [
        MisalignSensor("camera", 0.5, 1.0)(with_cameras(frame | {"seed": seed}))["sensor_error"] for seed in range(40)
    ]
    angles = np.array([np.arctan2(error[1, 3], error[0, 3]) for error in errors])
    assert angles.min() < -2 and angles.max() > 2
    assert {float(np.sign(yaw_rad(error))) for error in errors} == {-1.0, 1.0}
    drawn = [
        MisalignSensor("camera", 0.5, 1.0, exact=False)(with_cameras(frame | {"seed": s}))["sensor_error"]
        for s in range(40)
    ]
    lengths = [np.hypot(*error[:2, 3]) for error in drawn]
    assert min(lengths) < 0.1 and 0.4 < max(lengths) <= 0.5


def test_in_an_augmented_frame_a_place_moves_as_it_does_on_the_ground(frame: dict) -> None:
    """Seen by a camera at p, a place is placed at error @ p: the augmentation must not change which place that is."""
    augmented = AugmentBEV(flip_y_prob=1.0, rotate_deg=90.0, scale=(1.2, 1.2))(dict(frame))
    plain = MisalignSensor()(with_cameras(dict(frame)))
    after = MisalignSensor()(with_cameras(augmented))
    aug = after["aug_from_ego"]
    places = np.array([[10.0, 3.0, 0.0], [-5.0, 8.0, 0.5]])
    moved_then_augmented = transform_points(aug, transform_points(plain["sensor_error"], places))
    augmented_then_moved = transform_points(after["sensor_error"], transform_points(aug, places))
    np.testing.assert_allclose(augmented_then_moved, moved_then_augmented, atol=1e-9)


def test_the_lidar_is_moved_as_the_cameras_would_be_and_they_stay(frame: dict) -> None:
    """One seed, one error: points go where the moved cameras would say that they are; intensity and time stay."""
    points = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32) * 10
    before = with_cameras(frame | {"points": points})
    cameras, lidar = (MisalignSensor(sensor)(dict(before)) for sensor in ("camera", "lidar"))
    np.testing.assert_array_equal(cameras["sensor_error"], lidar["sensor_error"])
    np.testing.assert_allclose(
        lidar["points"][:, :3], transform_points(lidar["sensor_error"], points[:, :3]), atol=1e-5
    )
    np.testing.assert_array_equal(lidar["points"][:, 3:], points[:, 3:])
    assert lidar["points"].dtype == np.float32 and before["points"] is points and cameras["points"] is points
    np.testing.assert_array_equal(lidar["ego_from_camera"], before["ego_from_camera"])
    with pytest.raises(ConfigError, match="after LoadLidar"):
        MisalignSensor("lidar")(with_cameras(dict(frame)))
    with pytest.raises(ConfigError, match="camera, lidar"):
        MisalignSensor("radar")


def sweep(sensor: np.ndarray, lag: float, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points (200, 5) of the ego frame on the four beams of a sensor there, and the beam of each."""
    ring = generator.integers(0, NUM_RINGS, 200)
    elevation = np.deg2rad(np.linspace(*ELEVATION, NUM_RINGS)[ring])
    azimuth, distance = generator.uniform(-np.pi, np.pi, 200), generator.uniform(3, 40, 200)
    across = distance * np.cos(elevation)
    own = np.stack([across * np.cos(azimuth), across * np.sin(azimuth), distance * np.sin(elevation)], 1)
    points = np.concatenate([transform_points(sensor, own), np.full((200, 1), 0.5), np.full((200, 1), lag)], 1)
    return points.astype(np.float32), ring


def two_sweeps(frame: dict) -> tuple[dict, np.ndarray]:
    """Points of two sweeps, the earlier one from a place 4 m behind, on a tilted mount, in an augmented frame."""
    generator = np.random.default_rng(0)
    tilt = make_transform(np.array([[0.995, 0, 0.0998], [0, 1, 0], [-0.0998, 0, 0.995]]), np.array([1.0, 0, 1.8]))
    behind = make_transform(rotation_z(0.1), np.array([-4.0, 0.3, 0])) @ tilt
    aug = make_transform(rotation_z(0.4) @ np.diag([1.0, -1.0, 1.0]), np.zeros(3))
    clouds, rings = zip(
        *(sweep(aug @ pose, lag, generator) for pose, lag in ((tilt, 0.0), (behind, 0.05))), strict=True
    )
    lidar = {"ego_from_lidar": tilt, "sweeps": [{"time_lag_s": 0.05, "ego_from_sweep": behind}]}
    return frame | {"lidar": lidar, "points": np.concatenate(clouds), "aug_from_ego": aug}, np.concatenate(rings)


def test_whole_rings_of_every_sweep_go_and_the_others_stay(frame: dict) -> None:
    results, ring = two_sweeps(frame)
    drop = DropRings(1.0, 0.6, NUM_RINGS, ELEVATION)
    lost_sets = set()
    for seed in range(30):
        kept = drop({**results, "seed": seed})["points"]
        stays = np.isin(results["points"][:, :3], kept[:, :3]).all(1)
        lost = {int(r) for r in range(NUM_RINGS) if not stays[ring == r].any()}
        assert all(stays[ring == r].all() for r in range(NUM_RINGS) if r not in lost), "a ring went in part"
        assert len(lost) <= 2
        lost_sets.add(frozenset(lost))
    assert len(lost_sets) > 4
    assert len(results["points"]) == 400


def test_the_nuscenes_sensor_has_its_beams_where_the_default_says() -> None:
    elevation = np.deg2rad(np.linspace(-30.67, 10.67, 32))
    points = np.stack([np.cos(elevation), np.zeros(32), np.sin(elevation)], 1) * 20
    assert ring_of(points, np.eye(4), 32, (-30.67, 10.67)).tolist() == list(range(32))


def test_frames_are_spared_by_chance_and_an_empty_one_stays_empty(frame: dict) -> None:
    results, _ = two_sweeps(frame)
    drop = DropRings(0.5, 0.9, NUM_RINGS, ELEVATION)
    hit = sum(len(drop({**results, "seed": seed})["points"]) < 400 for seed in range(60))
    assert 15 < hit < 40
    empty = {**results, "points": np.zeros((0, 5), np.float32)}
    assert drop(empty)["points"].shape == (0, 5)


def test_wrong_places_and_numbers_are_refused(frame: dict) -> None:
    with pytest.raises(ConfigError, match="after LoadImages"):
        MisalignSensor()(dict(frame))
    with pytest.raises(ConfigError, match="after LoadLidar"):
        DropRings()(dict(frame))
    with pytest.raises(ConfigError, match="sizes"):
        MisalignSensor("camera", -1.0)
    with pytest.raises(ConfigError, match="rising"):
        DropRings(elevation_deg=(3.0, -3.0))
