"""Augmentation moves cameras, points and map together: projected map points stay on their pixels."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from mapstack.datasets.transforms import AugmentBEV, LoadImages, LoadLidar, SetOrigin, VectorizeMap
from mapstack.datasets.transforms.truth import reflect_and_scale
from mapstack.errors import ConfigError, DataError
from mapstack.geometry.camera import project
from mapstack.geometry.polyline import resample
from mapstack.geometry.se3 import invert, make_transform, transform_points
from mapstack.maps import MapPatch, VectorMap

GRID = dict(pc_range=(-30, -15, -5, 30, 15, 3), cell_m=0.5)
CLASSES = ("divider", "ped_crossing", "boundary", "centerline")
AUGMENTATIONS = {
    "none": {},
    "mirror_y": dict(flip_y_prob=1.0),
    "mirror_x": dict(flip_x_prob=1.0),
    "turn": dict(rotate_deg=40.0),
    "scale": dict(scale=(1.2, 1.2)),
    "all": dict(flip_x_prob=1.0, flip_y_prob=1.0, rotate_deg=40.0, scale=(0.8, 1.2)),
}
INTRINSICS = np.array([[300.0, 0, 199.5], [0, 300.0, 111.5], [0, 0, 1]])
EGO_FROM_CAMERA = make_transform(np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]), np.array([1.5, 0.2, 1.5]))
EGO_FROM_LIDAR = make_transform(np.eye(3), np.array([0.9, 0.0, 1.8]))


@pytest.fixture
def sensed(frame: dict, tmp_path: Path) -> dict:
    """The frame with one camera and a LiDAR whose points are vertices of the map, 1 m apart along its lines."""
    cv2.imwrite(str(tmp_path / "a.jpg"), np.zeros((224, 400, 3), np.uint8))
    camera = dict(name="front", path=str(tmp_path / "a.jpg"), width=400, height=224)
    frame["cameras"] = [{**camera, "intrinsics": INTRINSICS, "ego_from_camera": EGO_FROM_CAMERA}]
    lines = [np.array([(5.0, 3), (8, 6), (20, 7)]), np.array([(5.0, -10), (15, -10), (15, -4), (5, -4), (5, -10)])]
    points = np.pad(np.concatenate(resample(lines, 12)), ((0, 0), (0, 1)))
    rows = np.hstack([points - EGO_FROM_LIDAR[:3, 3], np.full((len(points), 1), 51.0)]).astype(np.float32)
    rows.tofile(tmp_path / "a.bin")
    sweeps = [dict(path=str(tmp_path / "a.bin"), time_lag_s=0.1, ego_from_sweep=EGO_FROM_LIDAR)]
    frame["lidar"] = dict(path=str(tmp_path / "a.bin"), num_columns=4, intensity_max=255.0, sweeps=sweeps)
    frame["lidar"]["ego_from_lidar"] = EGO_FROM_LIDAR
    return frame


def run(frame: dict, *transforms) -> dict:
    for transform in transforms:
        frame = transform(frame)
    return frame


def test_without_augmentation_points_are_where_the_map_is(sensed: dict, small_map: VectorMap) -> None:
    out = run(sensed, LoadImages(), LoadLidar(num_sweeps=2), VectorizeMap(GRID, CLASSES))
    assert out["points"].shape == (48, 5) and np.allclose(out["points"][:, 3], 0.2)
    ring = out["patch"].vertices[list(out["patch"].labels).index(2)]
    assert np.abs(out["points"][12:24, :2] - resample([ring], 12)[0, :, :2]).min() < 1e-3


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("seed", [1, 2])
def test_map_points_and_lidar_points_keep_their_pixels(
    sensed: dict, small_map: VectorMap, name: str, seed: int
) -> None:
    sensed["seed"] = seed
    out = run(sensed, AugmentBEV(**AUGMENTATIONS[name]), LoadImages(), LoadLidar(), VectorizeMap(GRID, CLASSES))
    aug_from_ego = out.get("aug_from_ego", np.eye(4))
    camera_from_aug = invert(out["ego_from_camera"][0])

    # LiDAR: through the augmented frame and the augmented camera to the pixels of the frame before
    raw = np.fromfile(out["lidar_path"], np.float32).reshape(-1, 4)[:, :3].astype(float)
    in_ego = transform_points(EGO_FROM_LIDAR, raw)
    before, _ = project(transform_points(invert(EGO_FROM_CAMERA), in_ego), INTRINSICS)
    after, depth = project(transform_points(camera_from_aug, out["points"][:, :3].astype(float)), INTRINSICS)
    assert depth.min() > 1 and np.abs(before - after).max() < 0.01

    # Map: every cut vertex, taken back by the augmentation, lies on the map, and projects where it did
    ego_from_aug = invert(aug_from_ego)
    for line in out["patch"].vertices:
        on_ground = np.pad(line[:, :2], ((0, 0), (0, 1)))
        back = transform_points(ego_from_aug, on_ground)
        near = min(np.abs(back[:, None, :2] - dense[None]).max(-1).min(1).max() for dense in dense_lines().values())
        assert near < 0.02
        pixels_before, depth = project(transform_points(invert(EGO_FROM_CAMERA), back), INTRINSICS)
        pixels_after, _ = project(transform_points(camera_from_aug, on_ground), INTRINSICS)
        seen = depth > 0.5
        np.testing.assert_allclose(pixels_after[seen], pixels_before[seen], atol=1e-6)


def dense_lines() -> dict[str, np.ndarray]:
    lines = {
        "long": [(-80, 1), (80, 1)],
        "short": [(5, 3), (8, 6), (20, 7)],
        "crossing": [(-6, -5), (-2, -5), (-2, 5), (-6, 5), (-6, -5)],
        "ring": [(5, -10), (15, -10), (15, -4), (5, -4), (5, -10)],
        "lane": [(-80, -1.5), (80, -1.5)],
    }
    return {name: resample([np.array(line, float)], 8000)[0] for name, line in lines.items()}


@pytest.mark.parametrize("degrees", [-90.0, 25.0])
def test_a_turned_patch_is_full_to_its_corners(frame: dict, small_map: VectorMap, degrees: float) -> None:
    """The long divider reaches the border of the turned patch at both ends, not that of the patch before."""
    augment = AugmentBEV(rotate_deg=abs(degrees))
    frame["seed"] = next(
        seed
        for seed in range(1000)
        if abs(augment({"seed": seed})["bev_augmentation"]["yaw_rad"]) > 0.9 * np.deg2rad(25)
    )
    out = run(frame, augment, VectorizeMap(GRID, ("divider",)))
    line = max(out["patch"].vertices, key=len if len(out["patch"].vertices) == 1 else lambda v: np.ptp(v[:, :2]))
    to_border = np.abs(np.abs(line[[0, -1], :2]) - [30, 15]).min(axis=1)
    np.testing.assert_allclose(to_border, 0.0, atol=1e-6)


def test_one_mirror_keeps_ring_orientation_and_driving_direction(frame: dict, small_map: VectorMap) -> None:
    def turning(line: np.ndarray) -> float:
        x, y = line[:, 0], line[:, 1]
        return float(np.sign((x[:-1] * y[1:] - x[1:] * y[:-1]).sum()))

    plain = run({**frame}, VectorizeMap(GRID, CLASSES))["patch"]
    mirrored = run({**frame}, AugmentBEV(flip_y_prob=1.0), VectorizeMap(GRID, CLASSES))["patch"]
    assert (plain.labels == mirrored.labels).all() and plain.closed.sum() == 2
    for before, after, label, closed in zip(plain.vertices, mirrored.vertices, plain.labels, plain.closed, strict=True):
        if closed:
            assert turning(before) == turning(after)
        if CLASSES[label] == "centerline":
            assert before[0, 0] < before[-1, 0] and after[0, 0] < after[-1, 0], "cars still drive forward"
            np.testing.assert_allclose(after[:, 1], 1.5, atol=1e-9)


def test_mirroring_twice_gives_the_patch_back() -> None:
    patch = MapPatch(
        [np.array([[0.0, 1, 2], [3, 4, 5]]), np.array([[0.0, 1], [2, 1]])],
        np.array([0, 3]),
        np.zeros(2, bool),
        CLASSES,
        {},
    )
    reflect = np.array([1.0, -1.0])
    twice = reflect_and_scale(reflect_and_scale(patch, reflect, 2.0), reflect, 0.5)
    for before, after in zip(patch.vertices, twice.vertices, strict=True):
        np.testing.assert_allclose(before, after)
    assert reflect_and_scale(patch, reflect, 1.0).vertices[0][0].tolist() == [3, -4, 5], (
        "divider is reversed, z is kept"
    )


def test_mirroring_an_unsymmetric_patch_is_refused(frame: dict, small_map: VectorMap) -> None:
    vectorize = VectorizeMap(dict(pc_range=(-15, -15, -5, 45, 15, 3), cell_m=0.5))
    run({**frame}, AugmentBEV(flip_y_prob=1.0), vectorize)
    with pytest.raises(ConfigError, match="not symmetric.*flip_x_prob"):
        run({**frame}, AugmentBEV(flip_x_prob=1.0), vectorize)


def test_augmenting_after_loading_is_refused(sensed: dict) -> None:
    with pytest.raises(ConfigError, match="AugmentBEV must stand before.*points"):
        run(sensed, LoadLidar(), AugmentBEV())


def test_the_lidar_origin_moves_the_whole_frame(sensed: dict, small_map: VectorMap) -> None:
    plain = run({**sensed}, LoadImages(), LoadLidar(), VectorizeMap(GRID, CLASSES))
    moved = run({**sensed}, SetOrigin("lidar"), LoadImages(), LoadLidar(), VectorizeMap(GRID, CLASSES))
    np.testing.assert_allclose(moved["points"][:, :3], plain["points"][:, :3] - [0.9, 0, 0], atol=1e-5)
    ring_before, ring_after = (out["patch"].vertices[-2] for out in (plain, moved))
    np.testing.assert_allclose(ring_after[:, :2], ring_before[:, :2] - [0.9, 0], atol=1e-6)
    assert moved["rules"]["origin"] == "lidar" and plain["rules"]["origin"] == "ego"
    pixels = [
        project(transform_points(invert(out["ego_from_camera"][0]), out["points"][:, :3].astype(float)), INTRINSICS)[0]
        for out in (plain, moved)
    ]
    np.testing.assert_allclose(pixels[0], pixels[1], atol=1e-3)


def test_wrong_options_are_refused(frame: dict) -> None:
    with pytest.raises(ConfigError, match="flip probabilities"):
        AugmentBEV(flip_y_prob=2.0)
    with pytest.raises(ConfigError, match="scale must be"):
        AugmentBEV(scale=(1.2, 0.8))
    with pytest.raises(ConfigError, match="origin must be one of"):
        SetOrigin("imu")
    with pytest.raises(DataError, match="t0 has no LiDAR"):
        SetOrigin("lidar")(frame)
