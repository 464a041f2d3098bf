"""Depth targets for the camera branch, from the LiDAR."""

import numpy as np
from numpy.typing import NDArray

from mapstack.errors import ConfigError
from mapstack.geometry.se3 import invert
from mapstack.registry import TRANSFORMS

__all__ = ["LidarDepth", "nearest_depth"]

MIN_DEPTH_M = 0.5


@TRANSFORMS.register_module()
class LidarDepth:
    """Depth of the nearest LiDAR point in each feature cell of each camera, 0 where none fell.

    Adds ``depth`` (V, H / stride, W / stride) float32 metres along the optical axis. Only points of the frame's own
    sweep count, as earlier ones show moving things where they were.

    Args:
        stride: pixels per feature cell; divides both image sides.
        max_lag_s: points older than this are left out.
        keep_points: whether ``points`` stay in the sample; False for a camera-only model that LiDAR only teaches.
    """

    def __init__(self, stride: int = 16, max_lag_s: float = 0.01, keep_points: bool = True) -> None:
        self.stride, self.max_lag_s, self.keep_points = stride, max_lag_s, keep_points

    def __call__(self, results: dict) -> dict:
        """Project the points."""
        if "images" not in results or "points" not in results:
            raise ConfigError("LidarDepth must stand after LoadImages, ResizeCropImages and LoadLidar in the pipeline")
        height, width = results["images"][0].shape[:2]
        if height % self.stride or width % self.stride:
            raise ConfigError(f"stride {self.stride} does not divide the image size {height}x{width}")
        points = results["points"] if self.keep_points else results.pop("points")
        results["depth"] = nearest_depth(
            points[points[:, 4] <= self.max_lag_s, :3],
            results["intrinsics"] @ invert(results["ego_from_camera"])[:, :3],
            self.stride,
            (height // self.stride, width // self.stride),
        )
        results["depth"][~results["camera_valid"]] = 0.0
        return results


def nearest_depth(points: NDArray, image_from_ego: NDArray, stride: int, shape: tuple[int, int]) -> NDArray:
    """Depth images of cells for all cameras at once.

    Args:
        points: (M, 3) ego metres.
        image_from_ego: (V, 3, 4), intrinsics times ``camera_from_ego``.
        stride: pixels per cell.
        shape: (rows, cols) of cells.

    Returns:
        (V, rows, cols) float32 metres, 0 where no point fell.
    """
    rows, cols = shape
    views = len(image_from_ego)
    matrix = image_from_ego.transpose(1, 0, 2).reshape(3 * views, 4).astype(np.float32)
    u, v, depth = (matrix[:, :3] @ points.T + matrix[:, 3:]).reshape(3, views, -1)
    seen_view, seen = np.nonzero(depth > MIN_DEPTH_M)
    u, v, depth = u[seen_view, seen], v[seen_view, seen], depth[seen_view, seen]
    # A pixel spans half a unit about its whole coordinate, so cell 0 begins at -0.5.
    col, row = np.floor((u / depth + 0.5) / stride), np.floor((v / depth + 0.5) / stride)
    inside = (col >= 0) & (col < cols) & (row >= 0) & (row < rows)
    cell = (seen_view[inside] * rows + row[inside].astype(np.int64)) * cols + col[inside].astype(np.int64)
    nearest = np.full(views * rows * cols, np.inf, np.float32)
    np.minimum.at(nearest, cell, depth[inside])
    return np.where(np.isfinite(nearest), nearest, np.float32(0.0)).reshape(views, rows, cols)
