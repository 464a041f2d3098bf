"""LiDAR points to BEV through pillars (PointPillars, CVPR 2019, section 2.1)."""

import torch
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from mapstack.geometry import BEVGrid
from mapstack.ops import gather_from_canvas, scatter_to_canvas
from mapstack.registry import MODELS

__all__ = ["DynamicPillars"]

NUM_POINT_FEATURES = 10  # x, y, z coarse and fine, intensity, lag, offset to the cell centre (2), height in cell, range


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
            nn.Linear(NUM_POINT_FEATURES, pillar_channels, bias=False), nn.BatchNorm1d(pillar_channels), nn.ReLU()
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
        keep = self.grid.contains(points[:, 1:4])
        # A batch index of -1 is outside every canvas: points out of range are dropped without a change of shape.
        frame = torch.where(keep, points[:, 0].long(), -1)
        cells = torch.cat([frame[:, None], self.grid.cells(points[:, 1:3])], 1)  # (M, 3)
        mean_z = gather_from_canvas(scatter_to_canvas(points[:, 3:4], cells, shape, "mean"), cells)
        feats = self.point_net(self._describe(points, cells, mean_z))
        count = scatter_to_canvas(torch.ones_like(points[:, :1]), cells, shape, "sum")
        pooled = [scatter_to_canvas(feats, cells, shape, reduce) for reduce in ("max", "mean")]
        return self.down(torch.cat([*pooled, (count + 1).log() / 4], 1)), {}

    def _describe(self, points: Tensor, cells: Tensor, mean_z: Tensor) -> Tensor:
        """(M, 10) features of each point, scaled to about one."""
        x_min, y_min = self.grid.pc_range[:2]
        center = cells[:, [2, 1]].to(points.dtype) + 0.5
        center = center * self.grid.cell_m + points.new_tensor([x_min, y_min])
        offset = (points[:, 1:3] - center) / self.grid.cell_m
        x, y, z, intensity, lag = points[:, 1:6].unbind(1)
        kerb = z.clamp(-0.5, 0.5) * 6  # a kerb is 0.15 m high and must not drown among buildings
        height = (points[:, 3:4] - mean_z) * 5
        distance = points[:, 1:3].norm(dim=1, keepdim=True) / 30
        # Dry asphalt returns a few per cent and paint a third: spread that part of the scale.
        plain = torch.stack([x / 30, y / 30, z, kerb, intensity * 6, lag * 2], 1)
        feats = torch.cat([plain, offset, height, distance], 1)
        return feats.clamp(-10, 10)  # a point far outside the range must not shift the batch statistics

    def loss(self, aux: dict[str, Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """No auxiliary loss."""
        return {}
