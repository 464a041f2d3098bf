"""What a LiDAR point says of itself, scaled to about one: shared by the encoders."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapstack.geometry import BEVGrid

__all__ = ["NUM_POINT_FEATURES", "PointNorm", "describe_points", "frames_in_range"]

NUM_POINT_FEATURES = 10  # x, y, z coarse and fine, intensity, lag, offset to the cell centre (2), height in cell, range


def frames_in_range(points: Tensor, grid: BEVGrid) -> Tensor:
    """(M,) int64 frame of each (M, 6) point; -1, which is outside every canvas, for a point out of range.

    So points are dropped without a change of shape.
    """
    return torch.where(grid.contains(points[:, 1:4]), points[:, 0].long(), -1)


def describe_points(points: Tensor, mean_z: Tensor, grid: BEVGrid) -> Tensor:
    """Features of each point.

    Args:
        points: (M, 6) frame, x, y, z ego metres, intensity in [0, 1], time lag s (how old the sweep is).
        mean_z: (M, 1) metres, mean height of the points of the same cell.
        grid: whose cells those are.

    Returns:
        (M, ``NUM_POINT_FEATURES``).
    """
    # A row for each number, not a column: exported graphs are slow at cutting and joining columns.
    rows = points.t().contiguous()
    _, x, y, z, intensity, lag = rows.unbind(0)
    place = rows[1:3]
    scaled = (place - points.new_tensor(grid.pc_range[:2])[:, None]) / grid.cell_m
    offset = scaled - scaled.floor() - 0.5  # to the middle of the cell
    kerb = z.clamp(-0.5, 0.5) * 6  # a kerb is 0.15 m high and must not drown among buildings
    height = (rows[3:4] - mean_z.t()) * 5
    distance = (x * x + y * y).sqrt() / 30
    # Dry asphalt returns a few per cent and paint a third: spread that part of the scale.
    plain = torch.stack([x / 30, y / 30, z, kerb, intensity * 6, lag * 2])
    feats = torch.cat([plain, offset, height, distance[None]])
    return feats.clamp(-10, 10).t()  # a point far outside the range must not shift the batch statistics


class PointNorm(nn.BatchNorm1d):
    """Batch norm over points that keeps its running statistics when a whole batch has no LiDAR.

    PyTorch's own would then average over nothing and store NaN.
    """

    def forward(self, feats: Tensor) -> Tensor:
        """Normalise (M, C); M may be 0."""
        if self.training and feats.shape[0] < 2:
            return F.batch_norm(feats, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(feats)
