"""The real keyframe, against the devkit's own projection; the town's drives are in test_town_drives.py."""

from pathlib import Path

import numpy as np
import pytest

from mapstack.datasets.map_dataset import MapDataset
from mapstack.datasets.prepare import write_parts
from mapstack.datasets.sources.nuscenes import CAMERAS, read_frames
from mapstack.datasets.transforms import LoadImages, LoadLidar
from mapstack.errors import DataError
from mapstack.geometry.camera import project
from mapstack.geometry.se3 import invert, transform_points

TOKEN = "ca9a282c9e77460f8360f564131a8af5"


@pytest.fixture
def root(shared_data: Path) -> Path:
    return shared_data / "nuscenes_keyframe"


def with_absolute_paths(frame: dict, root: Path) -> dict:
    for item in (*frame["cameras"], frame["lidar"]):
        item["path"] = str(root / item["path"])
    return frame


def test_the_real_keyframe_is_read(root: Path) -> None:
    (frame,) = read_frames(root, "v1.0-mini")
    assert frame["token"] == TOKEN and frame["scene"] == "scene-0061" and frame["location"] == "singapore-onenorth"
    assert frame["timestamp_ns"] == 1532402927647951000
    assert [camera["name"] for camera in frame["cameras"]] == list(CAMERAS)
    assert frame["map_kind"] is None and frame["lidar"]["sweeps"] == []


@pytest.mark.parametrize("camera", ["CAM_FRONT", "CAM_BACK_LEFT"])
def test_lidar_lands_on_the_pixels_where_the_devkit_puts_it(root: Path, camera: str) -> None:
    """The devkit goes through both sensors' own ego poses; our compensated ``ego_from_camera`` holds the same."""
    from nuscenes.nuscenes import NuScenes

    (frame,) = read_frames(root, "v1.0-mini")
    frame = LoadLidar()(LoadImages(cameras=[camera])(with_absolute_paths(frame, root)))
    camera_from_ego = invert(frame["ego_from_camera"][0])
    points_camera = transform_points(camera_from_ego, frame["points"][:, :3].astype(float))
    pixels, depth = project(points_camera, frame["intrinsics"][0])
    inside = (depth > 1.0) & (pixels[:, 0] > 1) & (pixels[:, 0] < 1599) & (pixels[:, 1] > 1) & (pixels[:, 1] < 899)

    tables = NuScenes(version="v1.0-mini", dataroot=str(root), verbose=False)
    data = tables.get("sample", TOKEN)["data"]
    theirs, their_depth, _ = tables.explorer.map_pointcloud_to_image(data["LIDAR_TOP"], data[camera])
    assert inside.sum() == theirs.shape[1] > 2000
    np.testing.assert_allclose(pixels[inside], theirs[:2].T, atol=0.05)
    np.testing.assert_allclose(depth[inside], their_depth, atol=1e-3)


def test_a_wrong_root_or_scene_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no nuScenes tables at .*v1\.0-trainval.*--version"):
        read_frames(root)
    with pytest.raises(DataError, match="none of the scenes asked for"):
        read_frames(root, "v1.0-mini", scenes=["scene-9999"])


def test_a_missing_image_breaks_the_frame_by_token(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "nuscenes"
    copy.mkdir()
    for name in ("v1.0-mini", "maps"):
        (copy / name).symlink_to(root / name)
    (copy / "samples").mkdir()
    for folder in (root / "samples").iterdir():
        if folder.name != "CAM_BACK":
            (copy / "samples" / folder.name).symlink_to(folder)
    with pytest.raises(DataError, match=rf"{TOKEN}: .*CAM_BACK__.* is missing"):
        read_frames(copy, "v1.0-mini")
    assert read_frames(copy, "v1.0-mini", skip_broken=True) == []


def test_real_map_lines_are_cut_around_the_real_keyframe(root: Path, shared_data: Path, tmp_path: Path) -> None:
    """Of scene-0061's published vectors, the 60 x 30 m patch has 4 dividers, and boundaries but no crossing."""
    frames = read_frames(root, "v1.0-mini", geojson_maps=shared_data / "nuscenes_maps")
    write_parts(frames, {"all": ["scene-0061"]}, tmp_path, dataset="nuscenes", data_root=root)
    grid = dict(pc_range=(-30, -15, -5, 30, 15, 3), cell_m=0.3)
    pipeline = [
        dict(type="LoadImages"),
        dict(type="ResizeCropImages", size=(224, 400)),
        dict(type="LoadLidar", ego_radius_m=1.5),
        dict(type="VectorizeMap", grid=grid),
        dict(type="DrawMap"),
        dict(type="LidarDepth", stride=16),
        dict(type="PackMapInputs"),
    ]
    packed = MapDataset(str(tmp_path / "all.parquet"), pipeline)[0]
    assert packed["inputs"]["images"].shape == (6, 3, 224, 400)
    assert (packed["inputs"]["depth"] > 0).float().mean() > 0.3
    labels = packed["data_samples"].gt.labels.tolist()
    assert labels.count(0) == 4 and labels.count(1) == 0 and labels.count(2) >= 3
    assert packed["data_samples"].bev_mask[[0, 2]].flatten(1).any(1).all()
