"""LiDAR points to BEV through pillars (PointPillars, CVPR 2019, section 2.1)."""

import torch
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from mapstack.geometry import BEVGrid
from mapstack.ops import CanvasTables, PointCells
from mapstack.registry import MODELS

from .point_features import NUM_POINT_FEATURES, PointNorm, describe_points, frames_in_range

__all__ = ["DynamicPillars"]


@MODELS.register_module()
class DynamicPillars(nn.Module):
    """A small PointNet per pillar without a limit on points or pillars, then a convolution down to ``cell_m``.

    Besides the learned maximum, each pillar keeps the mean of its features, so that thin paint among many
    asphalt points is not lost to one bright outlier.

    Args:
        grid: keyword arguments of :class:`BEVGrid`; its ``cell_m`` is the pillar's edge.
        cell_m: edge of the BEV cells returned, a power-of-two multiple of the pillar's.
        channels: C of the BEV features.
        pillar_channels: width of the point features.
    """

    def __init__(self, grid: dict, cell_m: float, channels: int = 64, pillar_channels: int = 32) -> None:
        super().__init__()
        self.grid = BEVGrid(**grid)
        stride = round(cell_m / self.grid.cell_m)
        if stride not in (1, 2, 4) or abs(stride * self.grid.cell_m - cell_m) > 1e-6:
            raise ValueError(f"cell_m must be 1, 2 or 4 pillars of {self.grid.cell_m} m, got {cell_m}")
        self.point_net = nn.Sequential(
            nn.Linear(NUM_POINT_FEATURES, pillar_channels, bias=False), PointNorm(pillar_channels), nn.ReLU()
        )
        layers = [Conv2dNormActivation(2 * pillar_channels + 1, channels, 3, stride=min(stride, 2))]
        if stride == 4:
            layers.append(Conv2dNormActivation(channels, channels, 3, stride=2))
        self.down = nn.Sequential(*layers)
        self.out_channels = channels

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Encode (M, 6) points (frame, x, y, z, intensity, time lag) of B frames; M may be 0.

        Returns:
            BEV (B, C, rows, cols), and an empty dictionary (there is no auxiliary output).
        """
        points = inputs["points"]
        shape = (inputs["batch_size"], *self.grid.shape)
        frame = frames_in_range(points, self.grid)
        cells = torch.cat([frame[:, None], self.grid.cells(points[:, 1:3])], 1)  # (M, 3)
        canvas = CanvasTables.from_inputs(inputs, self.grid.shape) or PointCells(cells, shape, points[:, 3:4])
        feats = self.point_net(describe_points(points, canvas.mean_z, self.grid))
        pooled = canvas.max_and_mean(feats)
        return self.down(torch.cat([*pooled, (canvas.count() + 1).log() / 4], 1)), {}

    def loss(self, aux: dict[str, Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """No auxiliary loss."""
        return {}
