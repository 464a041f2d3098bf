"""Loading, and every kind of damage that a recording can have: one clear error each."""

from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather

from mapstack.datasets.transforms import LoadImages, LoadLidar
from mapstack.datasets.transforms.load_lidar import read_points
from mapstack.errors import ConfigError, DataError

INTRINSICS = np.array([[100.0, 0, 49.5], [0, 100.0, 29.5], [0, 0, 1]])


def make_camera(folder: Path, name: str) -> dict:
    path = folder / f"{name}.jpg"
    image = np.zeros((60, 100, 3), np.uint8)
    image[..., 2] = 250  # BGR: red
    cv2.imwrite(str(path), image)
    camera = dict(name=name, path=str(path), width=100, height=60, ego_from_camera=np.eye(4))
    return {**camera, "intrinsics": INTRINSICS.copy()}


@pytest.fixture
def sensed(frame: dict, tmp_path: Path) -> dict:
    frame["cameras"] = [make_camera(tmp_path, name) for name in ("left", "right")]
    points = np.random.default_rng(0).uniform(-20, 20, (50, 5)).astype(np.float32)
    points[:, 3] = 255.0
    points[:2, :2] = 0.3
    points.tofile(tmp_path / "now.pcd.bin")
    frame["lidar"] = dict(path=str(tmp_path / "now.pcd.bin"), num_columns=5, intensity_max=255.0, sweeps=[])
    frame["lidar"]["ego_from_lidar"] = np.eye(4)
    return frame


def test_images_are_rgb_in_the_order_asked_for(sensed: dict) -> None:
    out = LoadImages(cameras=["right", "left"])(sensed)
    assert out["camera_names"] == ("right", "left") and out["camera_valid"].all()
    assert out["images"][0].shape == (60, 100, 3)
    assert out["images"][0][0, 0, 0] > 240 and out["images"][0][0, 0, 2] < 10


def test_an_absent_camera_is_allowed_only_when_the_config_says_so(sensed: dict) -> None:
    with pytest.raises(DataError, match="t0 has no camera back.*left, right.*allow_missing_cameras"):
        LoadImages(cameras=["left", "back"])(sensed)
    out = LoadImages(cameras=["left", "back"], allow_missing_cameras=True, missing_size=(60, 100))(sensed)
    assert out["camera_valid"].tolist() == [True, False] and not out["images"][1].any()
    with pytest.raises(DataError, match="no camera at all"):
        LoadImages()({**sensed, "cameras": []})


def test_a_missing_file_is_an_error_even_so(sensed: dict) -> None:
    Path(sensed["cameras"][0]["path"]).unlink()
    with pytest.raises(DataError, match=r"frame t0: cannot read .*left\.jpg \(No such file"):
        LoadImages(allow_missing_cameras=True)(sensed)


@pytest.mark.parametrize("content", [b"", b"not a jpeg", b"\xff\xd8\xff\xe0"])
def test_an_unreadable_jpeg_is_named(sensed: dict, content: bytes) -> None:
    Path(sensed["cameras"][0]["path"]).write_bytes(content)
    with pytest.raises(DataError, match=r"frame t0: .*left\.jpg is no readable image"):
        LoadImages()(sensed)


def test_an_image_of_another_size_than_the_index_says_is_refused(sensed: dict) -> None:
    sensed["cameras"][0]["width"] = 200
    with pytest.raises(DataError, match=r"left\.jpg is 100x60, the index says 200x60"):
        LoadImages()(sensed)


def test_singular_intrinsics_name_frame_and_camera(sensed: dict) -> None:
    sensed["cameras"][1]["intrinsics"][0, 0] = 0.0
    with pytest.raises(DataError, match="frame t0: right: singular intrinsics.*prepare the index again"):
        LoadImages()(sensed)


def test_intensity_is_scaled_and_the_own_vehicle_left_out(sensed: dict) -> None:
    assert LoadLidar()({**sensed})["points"].shape == (50, 5)
    out = LoadLidar(ego_radius_m=1.0)({**sensed})
    assert len(out["points"]) == 48 and (out["points"][:, 3] == 1.0).all() and (out["points"][:, 4] == 0.0).all()
    near = LoadLidar(max_range_m=10.0)({**sensed})["points"]
    assert 0 < len(near) < 50 and np.hypot(near[:, 0], near[:, 1]).max() <= 10.0


def test_a_truncated_sweep_is_named(sensed: dict) -> None:
    path = Path(sensed["lidar"]["path"])
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DataError, match=r"frame t0: .*now\.pcd\.bin is truncated: 992 bytes"):
        LoadLidar()(sensed)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="is truncated: 0 bytes"):
        LoadLidar()(sensed)
    path.unlink()
    with pytest.raises(DataError, match=r"now\.pcd\.bin is missing"):
        LoadLidar()(sensed)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_points_are_counted_and_named(sensed: dict, value: float) -> None:
    points = np.fromfile(sensed["lidar"]["path"], np.float32).reshape(-1, 5)
    points[3:6, 1] = value
    points.tofile(sensed["lidar"]["path"])
    with pytest.raises(DataError, match=r"frame t0: 3 of 50 points in .*now\.pcd\.bin are NaN"):
        LoadLidar()(sensed)


def test_a_frame_without_lidar_says_what_to_change(frame: dict) -> None:
    with pytest.raises(DataError, match="t0 has no LiDAR; take LoadLidar out"):
        LoadLidar()(frame)
    with pytest.raises(ConfigError, match="at least 1"):
        LoadLidar(num_sweeps=0)


def test_npy_and_feather_hold_the_same_points(tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(-5, 5, (7, 4)).astype(np.float16)
    np.save(tmp_path / "a.npy", points.astype(np.float64))
    columns = {name: pa.array(points[:, i]) for i, name in enumerate("xyz")}
    intensity = pa.array(np.arange(7, dtype=np.uint8))
    feather.write_feather(pa.table({**columns, "intensity": intensity}), str(tmp_path / "a.feather"))
    from_npy = read_points(tmp_path / "a.npy", 4, "t0")
    from_feather = read_points(tmp_path / "a.feather", 4, "t0")
    np.testing.assert_array_equal(from_npy[:, :3], from_feather[:, :3])
    assert from_feather.dtype == np.float32 and from_feather[:, 3].tolist() == list(range(7))


def test_damaged_npy_and_feather_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"x")
    (tmp_path / "a.feather").write_bytes(b"x")
    for name in ("a.npy", "a.feather"):
        with pytest.raises(DataError, match=rf"{name} cannot be read as LiDAR points"):
            read_points(tmp_path / name, 4, "t0")
    np.save(tmp_path / "pickled.npy", np.array([{}], dtype=object))
    with pytest.raises(DataError, match=r"pickled\.npy cannot be read"):
        read_points(tmp_path / "pickled.npy", 4, "t0")
    np.save(tmp_path / "three.npy", np.zeros((4, 3)))
    with pytest.raises(DataError, match=r"three\.npy has shape \(4, 3\)"):
        read_points(tmp_path / "three.npy", 4, "t0")
