"""Map lines and LiDAR points in camera images."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstack.geometry.camera import check_intrinsics, project
from mapstack.geometry.se3 import invert, transform_points

from .drawn_map import DrawnMap
from .palette import class_rgb

__all__ = ["CameraView", "draw_lidar", "draw_map", "project_lidar", "project_segments"]

NEAR_M = 0.1  # a segment is cut here, in front of the lens: behind it the projection turns over
MARGIN_PX = 16  # lines run this far out of the image, so that a thick line has no visible end at the edge
SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class CameraView:
    """One camera of one frame.

    Args:
        name: for titles and errors.
        image: (H, W, 3) uint8 RGB.
        intrinsics: (3, 3) ``image_from_camera`` of this very image.
        ego_from_camera: (4, 4), ego at the frame's reference time.
    """

    name: str
    image: NDArray
    intrinsics: NDArray
    ego_from_camera: NDArray

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ValueError(f"{self.name}: image must be (H, W, 3) uint8, got {self.image.shape} {self.image.dtype}")
        check_intrinsics(self.intrinsics, self.name)

    @property
    def size(self) -> tuple[int, int]:
        """(W, H) pixels."""
        return self.image.shape[1], self.image.shape[0]

    def resized(self, width: int) -> "CameraView":
        """The same view ``width`` pixels wide, aspect kept, with intrinsics to match."""
        height = max(round(self.size[1] * width / self.size[0]), 1)
        scale = np.array([width / self.size[0], height / self.size[1]])
        intrinsics = np.array(self.intrinsics, dtype=float)
        # Pixel centres lie at whole numbers, so the scaling is about the image's corner at -0.5.
        intrinsics[:2] *= scale[:, None]
        intrinsics[:2, 2] += (scale - 1) / 2
        image = cv2.resize(self.image, (width, height), interpolation=cv2.INTER_AREA)
        return CameraView(self.name, image, intrinsics, self.ego_from_camera)


def project_segments(ends_ego: NDArray, view: CameraView) -> tuple[NDArray, NDArray]:
    """Cut 3-D segments to what the camera sees of them, then project.

    A pinhole maps straight to straight, so a segment needs its two ends only; it is cut at a plane just in front
    of the lens and at the four sides of the frustum, all in 3-D, where nothing divides by a depth near zero.

    Args:
        ends_ego: (S, 2, 3) ego metres.
        view: the camera.

    Returns:
        Pixels (K, 2, 2) as (u, v), and (K,) int64, the segments that are seen, in order.
    """
    starts, stops = np.moveaxis(transform_points(invert(view.ego_from_camera), ends_ego), 1, 0)
    k = np.asarray(view.intrinsics, dtype=float)
    width, height = view.size
    depth_row = np.array([0.0, 0.0, 1.0])
    sides = np.stack(
        [
            depth_row,
            k[0] + MARGIN_PX * depth_row,
            (width - 1 + MARGIN_PX) * depth_row - k[0],
            k[1] + MARGIN_PX * depth_row,
            (height - 1 + MARGIN_PX) * depth_row - k[1],
        ]
    )
    offsets = np.array([NEAR_M, 0.0, 0.0, 0.0, 0.0])
    at_start, at_stop = starts @ sides.T - offsets, stops @ sides.T - offsets  # (S, 5), >= 0 inside
    change = at_stop - at_start
    crossing = np.divide(-at_start, change, out=np.zeros_like(change), where=change != 0)  # (S, 5) along the segment
    first = np.where(at_start < 0, crossing, 0.0).max(axis=1)
    last = np.where(at_stop < 0, crossing, 1.0).min(axis=1)
    seen = np.flatnonzero(~((at_start < 0) & (at_stop < 0)).any(axis=1) & (first < last))
    along = np.stack([first[seen], last[seen]], axis=1)[..., None]  # (K, 2, 1)
    visible = starts[seen, None] + along * (stops - starts)[seen, None]
    return project(visible, k)[0], seen


def project_lidar(points_ego: NDArray, view: CameraView) -> tuple[NDArray, NDArray, NDArray]:
    """Pixels of the LiDAR points that fall into the image.

    Args:
        points_ego: (M, >= 3) ego metres.
        view: the camera.

    Returns:
        Pixels (K, 2) as (u, v), depth (K,) metres along the optical axis, and (K,) int64 rows of ``points_ego``.
    """
    camera = transform_points(invert(view.ego_from_camera), np.asarray(points_ego, dtype=float)[:, :3])
    pixels, depth = project(camera, np.asarray(view.intrinsics, dtype=float))
    width, height = view.size
    inside = (depth > NEAR_M) & (pixels >= -0.5).all(axis=1) & (pixels < np.array([width, height]) - 0.5).all(axis=1)
    return pixels[inside], depth[inside], np.flatnonzero(inside)


def draw_map(
    view: CameraView, drawn: DrawnMap, *, height_m: float = 0.0, thickness_px: int | None = None, dark_edge: bool = True
) -> NDArray:
    """Draw map lines into a copy of the image, nothing hidden by what stands in between.

    Args:
        view: the camera.
        drawn: the map; scores do not change how a line looks.
        height_m: z of the road in the ego frame, for 2-D vertices; below zero where the ego origin lies above the road.
        thickness_px: None takes 1/400 of the image's width, and at least 2.
        dark_edge: draw a darker, wider line underneath, which keeps bright lines readable on bright ground.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    image = np.ascontiguousarray(view.image).copy()
    ends, owners = drawn.segments(height_m)
    pixels, seen = project_segments(ends, view)
    thickness = thickness_px or max(round(view.size[0] / 400), 2)
    fixed = np.round(pixels * 2**SUBPIXEL_BITS).astype(np.int32)
    labels = np.asarray(drawn.labels)[owners[seen]]
    passes = [(thickness + 2, 0.25), (thickness, 1.0)] if dark_edge else [(thickness, 1.0)]
    for width, brightness in passes:
        for (start, stop), label in zip(fixed.tolist(), labels, strict=True):
            color = [channel * brightness for channel in class_rgb(drawn.classes[label])]
            cv2.line(image, start, stop, color, width, cv2.LINE_AA, SUBPIXEL_BITS)
    return image


def draw_lidar(
    view: CameraView, points_ego: NDArray, *, max_depth_m: float = 60.0, radius_px: int | None = None
) -> NDArray:
    """Draw LiDAR points into a copy of the image, coloured by depth, near (red) over far (blue).

    Args:
        view: the camera.
        points_ego: (M, >= 3) ego metres.
        max_depth_m: depth where the colours end; farther points keep the last one.
        radius_px: None takes 1/600 of the image's width, and at least 1.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    image = np.ascontiguousarray(view.image).copy()
    pixels, depth, _ = project_lidar(points_ego, view)
    if not len(depth):
        return image
    order = np.argsort(-depth, kind="stable")
    level = 255 - np.round(np.clip(depth / max_depth_m, 0, 1) * 255).astype(np.uint8)
    colors = cv2.applyColorMap(level[:, None], cv2.COLORMAP_TURBO)[:, 0, ::-1]  # (K, 3) RGB
    radius = radius_px or max(round(view.size[0] / 600), 1)
    centers = np.round(pixels).astype(int)
    for index in order:
        cv2.circle(image, centers[index].tolist(), radius, colors[index].tolist(), cv2.FILLED, cv2.LINE_AA)
    return image
