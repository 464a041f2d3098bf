from pathlib import Path

import cv2
import numpy as np
import pytest

from mapstack.errors import DataError
from mapstack.geometry import BEVGrid
from mapstack.geometry.se3 import make_transform, rotation_z
from mapstack.visualization import CameraView, DrawnMap
from mapstack.visualization.frame import camera_mosaic, load_views, reading_order, save_frame_pictures
from mapstack.visualization.palette import class_rgb

from .conftest import Keyframe

GRID = BEVGrid((-30, -15, -5, 30, 15, 3), 0.3)
LINE = DrawnMap([np.array([[4.0, -3], [4.0, 3]])], np.array([0]), ("divider",))


def make_view(name: str, yaw_deg: float, size: tuple[int, int] = (320, 180)) -> CameraView:
    forward = rotation_z(np.deg2rad(yaw_deg))[:, 0]
    rotation = np.stack([[forward[1], -forward[0], 0], [0, 0, -1], forward], axis=1)
    intrinsics = np.array([[160.0, 0, size[0] / 2], [0, 160, size[1] / 2], [0, 0, 1]])
    image = np.zeros((size[1], size[0], 3), np.uint8)
    return CameraView(name, image, intrinsics, make_transform(rotation, np.array([0, 0, 1.5])))


def test_cameras_are_read_as_one_looks_around(keyframe: Keyframe) -> None:
    names = [view.name.removeprefix("CAM_") for view in reading_order(keyframe.views)]
    assert names == ["FRONT_LEFT", "FRONT", "FRONT_RIGHT", "BACK_LEFT", "BACK", "BACK_RIGHT"]


def test_a_line_ahead_shows_in_the_front_tile_only() -> None:
    views = [make_view("front", 0), make_view("left", 100), make_view("back", 180), make_view("right", -100)]
    mosaic = camera_mosaic(reading_order(views), LINE)
    assert mosaic.shape == (2 * 360, 3 * 640, 3)
    found = (np.abs(mosaic.astype(int) - class_rgb("divider")).max(-1) < 12).nonzero()
    assert len(found[0]) > 100 and found[0].max() < 360 and found[1].max() < 640
    with pytest.raises(ValueError, match="at least one camera"):
        camera_mosaic([], LINE)


def test_cameras_of_different_sizes_share_a_mosaic() -> None:
    tall = make_view("tall", 0, size=(180, 320))
    assert camera_mosaic([make_view("wide", 0), tall], LINE).shape == (round(640 * 320 / 180), 2 * 640, 3)


def test_pictures_are_written_with_what_there_is(tmp_path: Path) -> None:
    written = save_frame_pictures(tmp_path / "new", "a", GRID, LINE, views=[make_view("front", 0)])
    assert [path.name for path in written] == ["a_bev.png", "a_cameras.jpg"] and all(path.is_file() for path in written)
    bare = save_frame_pictures(tmp_path, "b", GRID, DrawnMap([], np.zeros(0, int), ()), points=np.zeros((5, 5)))
    assert [path.name for path in bare] == ["b_bev.png"]


def test_views_come_from_index_rows_and_a_bad_image_is_named(tmp_path: Path) -> None:
    view = make_view("front", 0)
    red = np.zeros((180, 320, 3), np.uint8)
    red[..., 2] = 255  # OpenCV writes blue, green, red
    cv2.imwrite(str(tmp_path / "red.png"), red)
    row = {"name": "front", "intrinsics": view.intrinsics, "ego_from_camera": view.ego_from_camera}
    (loaded,) = load_views([{**row, "path": tmp_path / "red.png"}])
    assert loaded.image[0, 0].tolist() == [255, 0, 0]
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"broken.jpg is no readable image"):
        load_views([{**row, "path": tmp_path / "broken.jpg"}])
