"""Real logs (LiDAR, calibration, poses, no images), and the same log with blank images put beside it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from mapstack.datasets.map_dataset import MapDataset
from mapstack.datasets.prepare import write_parts
from mapstack.datasets.sources.argoverse2 import CAMERAS, read_frames
from mapstack.errors import DataError
from mapstack.geometry.camera import project
from mapstack.geometry.se3 import invert, transform_points

LOG = "7fab2350-7eaf-3b7e-a39d-6937a4c1bede"
BARE_LOG = "adcf7d18-0510-35b0-a2fa-b4cea13a6d76"


@pytest.fixture
def root(shared_data: Path) -> Path:
    pytest.importorskip("upath", reason="av2 needs universal_pathlib")
    return shared_data / "argoverse2" / "sensor"


@pytest.fixture
def root_with_images(root: Path, tmp_path: Path) -> Path:
    """The real log's files, and a blank image of each ring camera at the pose nearest each sweep."""
    from av2.geometry.camera.pinhole_camera import PinholeCamera
    from av2.utils.io import read_city_SE3_ego

    real, log = root / "val" / LOG, tmp_path / "sensor" / "val" / LOG
    (log / "sensors").mkdir(parents=True)
    for name in ("calibration", "map", "city_SE3_egovehicle.feather", "sensors/lidar"):
        (log / name).symlink_to(real / name)
    times = np.array(sorted(read_city_SE3_ego(real)))
    for sweep in (real / "sensors" / "lidar").iterdir():
        image_time = times[np.searchsorted(times, int(sweep.stem)) + 3]
        for name in CAMERAS:
            model = PinholeCamera.from_feather(real, name)
            path = log / "sensors" / "cameras" / name / f"{image_time}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.zeros((model.height_px, model.width_px, 3), np.uint8))
    return tmp_path / "sensor"


def test_logs_without_images_or_calibration_are_read_with_their_lidar(root: Path) -> None:
    frames = read_frames(root)
    assert [frame["scene"] for frame in frames] == [LOG, LOG, BARE_LOG]
    assert all(frame["cameras"] == [] and frame["location"] == "PIT" for frame in frames)
    assert frames[1]["token"] == f"{LOG}_{frames[1]['timestamp_ns']}" == frames[0]["next"]
    (sweep,) = frames[1]["lidar"]["sweeps"]
    assert sweep["time_lag_s"] == pytest.approx(0.1002, abs=1e-3)
    expected = invert(frames[1]["world_from_ego"]) @ frames[0]["world_from_ego"]
    np.testing.assert_allclose(sweep["ego_from_sweep"], expected, atol=1e-9)
    assert len(read_frames(root, interval=2)) == 2
    assert frames[0]["map_kind"] == "argoverse2" and (root / frames[0]["map_root"] / "map").is_dir()


def test_sweeps_of_a_real_log_agree_after_compensation(root: Path, tmp_path: Path) -> None:
    """The ground and walls seen 0.1 s apart lie closer with the motion taken out than without."""
    from scipy.spatial import cKDTree

    frames = read_frames(root, logs=[LOG])
    write_parts(frames, {"val": [LOG]}, tmp_path, dataset="argoverse2", data_root=root)
    pipeline = [dict(type="LoadLidar", num_sweeps=2), dict(type="PackMapInputs")]
    points = MapDataset(str(tmp_path / "val.parquet"), pipeline)[1]["inputs"]["points"].numpy()
    assert points[:, 3].min() >= 0 and points[:, 3].max() <= 1
    now, before = points[points[:, 4] == 0, :3], points[points[:, 4] > 0, :3]
    before = before[:: len(before) // 2000]
    tree = cKDTree(now)
    undone = transform_points(invert(frames[1]["lidar"]["sweeps"][0]["ego_from_sweep"]), before)
    assert tree.query(before)[0].mean() < 0.8 * tree.query(undone)[0].mean()


def test_points_land_where_the_av2_api_puts_them(root_with_images: Path) -> None:
    from av2.geometry.camera.pinhole_camera import PinholeCamera
    from av2.utils.io import read_city_SE3_ego

    folder = root_with_images / "val" / LOG
    poses = read_city_SE3_ego(folder)
    frame = read_frames(root_with_images)[1]
    assert [camera["name"] for camera in frame["cameras"]] == list(CAMERAS)
    points = np.random.default_rng(0).uniform((-30, -15, -1), (30, 15, 4), (300, 3))
    for camera in frame["cameras"]:
        camera_from_ego = invert(camera["ego_from_camera"])
        pixels, depth = project(transform_points(camera_from_ego, points), camera["intrinsics"])
        model = PinholeCamera.from_feather(folder, camera["name"])
        theirs, _, valid = model.project_ego_to_img_motion_compensated(
            points, poses[camera["timestamp_ns"]], poses[frame["timestamp_ns"]]
        )
        assert valid.sum() > 5
        np.testing.assert_allclose(pixels[valid], theirs[valid][:, :2], atol=1e-6)
        assert (depth[valid] > 0).all()


def test_a_frame_that_lost_a_ring_image_is_broken(root_with_images: Path) -> None:
    lost = sorted((root_with_images / "val" / LOG / "sensors" / "cameras" / "ring_rear_left").iterdir())[1]
    lost.rename(lost.with_name("1.jpg"))
    with pytest.raises(DataError, match=rf"{LOG}_\d+: no image of ring_rear_left within 50 ms"):
        read_frames(root_with_images)
    assert len(read_frames(root_with_images, skip_broken=True)) == 1


def test_unknown_logs_and_roots_are_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="first none"):
        read_frames(root, logs=["none"])
    with pytest.raises(DataError, match="point --root at the folder 'sensor'"):
        read_frames(tmp_path)
