"""Depth targets for the camera branch, from the LiDAR."""

import numpy as np
from numpy.typing import NDArray

from mapstack.errors import ConfigError
from mapstack.geometry.camera import project
from mapstack.geometry.se3 import invert, transform_points
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
        recent = points[points[:, 4] <= self.max_lag_s, :3]
        camera_from_ego = invert(results["ego_from_camera"])
        shape = (height // self.stride, width // self.stride)
        results["depth"] = np.stack(
            [
                nearest_depth(transform_points(transform.astype(np.float32), recent), intrinsics, self.stride, shape)
                if valid
                else np.zeros(shape, np.float32)
                for transform, intrinsics, valid in zip(
                    camera_from_ego, results["intrinsics"].astype(np.float32), results["camera_valid"], strict=True
                )
            ]
        )
        return results


def nearest_depth(points_camera: NDArray, intrinsics: NDArray, stride: int, shape: tuple[int, int]) -> NDArray:
    """Depth image of cells.

    Args:
        points_camera: (M, 3) camera metres.
        intrinsics: (3, 3).
        stride: pixels per cell.
        shape: (rows, cols) of cells.

    Returns:
        (rows, cols) float32 metres, 0 where no point fell.
    """
    points_camera = points_camera[points_camera[:, 2] > MIN_DEPTH_M]
    pixels, depth = project(points_camera, intrinsics)
    cells = np.floor((pixels + 0.5) / stride).astype(np.int64)  # a pixel spans half a unit about its whole coordinate
    inside = ((cells >= 0) & (cells < (shape[1], shape[0]))).all(axis=1)
    cells, depth = cells[inside], depth[inside]
    nearest = np.full(shape[0] * shape[1], np.inf, np.float32)
    np.minimum.at(nearest, cells[:, 1] * shape[1] + cells[:, 0], depth.astype(np.float32))
    return np.where(np.isfinite(nearest), nearest, 0.0).astype(np.float32).reshape(shape)
