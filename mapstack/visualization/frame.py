"""The pictures of one frame: its cameras in reading order with map lines in them, and the patch from above."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstack.errors import DataError
from mapstack.geometry import BEVGrid

from .bev import BEVPanel, draw_bev
from .camera import CameraView, draw_map
from .drawn_map import DrawnMap

__all__ = ["camera_mosaic", "load_views", "reading_order", "save_frame_pictures"]

COLUMNS = 3
TILE_WIDTH_PX = 640


def load_views(cameras: Sequence[Mapping]) -> list[CameraView]:
    """Read the images of a frame, in reading order.

    Args:
        cameras: rows of the index: ``name``, ``path``, ``intrinsics`` (3, 3), ``ego_from_camera`` (4, 4).

    Raises:
        DataError: an image cannot be read.
    """
    views = []
    for camera in cameras:
        image = cv2.imread(str(camera["path"]), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if image is None:
            raise DataError(f"{camera['path']} is no readable image; restore the file")
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        views.append(CameraView(camera["name"], rgb, camera["intrinsics"], camera["ego_from_camera"]))
    return reading_order(views)


def reading_order(views: Sequence[CameraView]) -> list[CameraView]:
    """The cameras that look forward from left to right, then those that look back: by their optical axis."""

    def place(view: CameraView) -> tuple[bool, float]:
        axis = np.asarray(view.ego_from_camera)[:3, 2]
        yaw = np.arctan2(axis[1], axis[0])
        looks_back = bool(abs(yaw) > np.pi / 2)
        # Seen from behind, left and right change sides: from the left rear over the back to the right rear.
        return looks_back, float(yaw % (2 * np.pi) if looks_back else -yaw)

    return sorted(views, key=place)


def camera_mosaic(views: Sequence[CameraView], drawn: DrawnMap, *, height_m: float = 0.0) -> NDArray:
    """All cameras in one picture, three in a row, with the map drawn into each and its name in the corner.

    Args:
        views: at least one, in the order wanted.
        drawn: the map.
        height_m: z of the road in the ego frame.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    if not views:
        raise ValueError("camera_mosaic needs at least one camera")
    tiles = []
    for view in views:
        small = view.resized(TILE_WIDTH_PX)
        image = draw_map(small, drawn, height_m=height_m)
        for color, thickness in (((0, 0, 0), 4), ((255, 255, 255), 1)):
            cv2.putText(image, view.name, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.55, color, thickness, cv2.LINE_AA)
        tiles.append(image)
    columns = min(COLUMNS, len(tiles))
    tile_height = max(len(tile) for tile in tiles)
    rows = -(-len(tiles) // columns)
    mosaic = np.zeros((rows * tile_height, columns * TILE_WIDTH_PX, 3), np.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // columns * tile_height, index % columns * TILE_WIDTH_PX
        mosaic[top : top + len(tile), left : left + TILE_WIDTH_PX] = tile
    return mosaic


def save_frame_pictures(
    folder: Path,
    stem: str,
    grid: BEVGrid,
    drawn: DrawnMap,
    *,
    views: Sequence[CameraView] = (),
    points: NDArray | None = None,
    height_m: float = 0.0,
) -> list[Path]:
    """Write ``STEM_cameras.jpg`` (where there are cameras) and ``STEM_bev.png``.

    Args:
        folder: made where missing.
        stem: start of the file names.
        grid: the patch.
        drawn: the map, already cut at the score worth showing.
        views: cameras in the order wanted.
        points: (M, >= 2) LiDAR points, ego metres.
        height_m: z of the road in the ego frame.

    Returns:
        The files written.
    """
    pictures = {f"{stem}_bev.png": draw_bev(grid, [BEVPanel(stem, drawn, points)], panel_width_px=1000)}
    if views:
        pictures[f"{stem}_cameras.jpg"] = camera_mosaic(views, drawn, height_m=height_m)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, picture in pictures.items():
        path = folder / name
        if not cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)):
            raise OSError(f"cannot write {path}")
        written.append(path)
    return written
