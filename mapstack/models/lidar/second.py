"""LiDAR to BEV through voxels and a pyramid of convolutions (SECOND, Sensors 2018), with no sparse convolution."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from mapstack.errors import ConfigError
from mapstack.geometry import BEVGrid
from mapstack.ops import gather_from_canvas, scatter_to_canvas
from mapstack.registry import MODELS

from .point_features import NUM_POINT_FEATURES, PointNorm, describe_points, frames_in_range

__all__ = ["DenseSECOND"]


@MODELS.register_module()
class DenseSECOND(nn.Module):
    """Dynamic voxels of several heights, flattened into channels, then SECOND's region-proposal pyramid.

    SECOND folds the height away by sparse 3-D convolutions, for which there is no pip-installable op that also exports.
    A map needs little height: here each voxel keeps mean and maximum of its points' learned features (no limit on
    points or voxels), and the first 2-D convolution sees all heights of a cell as channels. Sweeps are told apart
    by the lag of each point. Memory grows with the patch's area, so any range works.

    Args:
        grid: keyword arguments of :class:`BEVGrid`; its ``cell_m`` is the voxel's edge.
        cell_m: edge of the BEV cells returned, a power-of-two multiple of the voxel's.
        channels: C of the BEV features.
        point_channels: width of the point features.
        heights_m: edges between the voxels of a cell, ego z; what is below the first or above the last edge, within
            the grid's range, belongs to the lowest or highest voxel.
        stage_channels: width of each stage of the pyramid; each but the first halves rows and columns.
        stage_depths: convolutions of each stage after its first, as many as ``stage_channels``.
    """

    def __init__(
        self,
        grid: dict,
        cell_m: float,
        channels: int = 64,
        point_channels: int = 16,
        heights_m: tuple[float, ...] = (-0.2, 0.1, 0.3, 1.0, 2.0),
        stage_channels: tuple[int, ...] = (64, 128),
        stage_depths: tuple[int, ...] = (3, 5),
    ) -> None:
        super().__init__()
        self.grid = BEVGrid(**grid)
        stride = round(cell_m / self.grid.cell_m)
        if stride not in (1, 2, 4) or abs(stride * self.grid.cell_m - cell_m) > 1e-6:
            raise ConfigError(f"cell_m must be 1, 2 or 4 voxels of {self.grid.cell_m} m, got {cell_m}")
        if sorted(heights_m) != list(heights_m) or not heights_m:
            raise ConfigError(f"heights_m are the rising edges between voxels, got {heights_m}")
        self.register_buffer("heights_m", torch.tensor(heights_m), persistent=False)
        self.point_net = nn.Sequential(
            nn.Linear(NUM_POINT_FEATURES, point_channels, bias=False), PointNorm(point_channels), nn.ReLU()
        )
        width = (len(heights_m) + 1) * (2 * point_channels + 1)
        first = [Conv2dNormActivation(width, stage_channels[0], 3, stride=min(stride, 2))]
        if stride == 4:
            first.append(Conv2dNormActivation(stage_channels[0], stage_channels[0], 3, stride=2))
        self.stages = nn.ModuleList()
        for i, (out, depth) in enumerate(zip(stage_channels, stage_depths, strict=True)):
            begin = first if i == 0 else [Conv2dNormActivation(stage_channels[i - 1], out, 3, stride=2)]
            self.stages.append(nn.Sequential(*begin, *[Conv2dNormActivation(out, out, 3) for _ in range(depth)]))
        self.lateral = nn.ModuleList(Conv2dNormActivation(width, channels, 1) for width in stage_channels)
        self.merge = Conv2dNormActivation(len(stage_channels) * channels, channels, 3)
        self.out_channels = channels

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Encode (M, 6) points (frame, x, y, z, intensity, time lag) of B frames; M may be 0.

        Returns:
            BEV (B, C, rows, cols), and an empty dictionary.
        """
        level = self._voxels(inputs["points"], inputs["batch_size"])
        maps = []
        for stage, lateral in zip(self.stages, self.lateral, strict=True):
            level = stage(level)
            maps.append(lateral(level))
        size = maps[0].shape[-2:]
        maps = [maps[0], *(F.interpolate(x, size=size, mode="bilinear", align_corners=False) for x in maps[1:])]
        return self.merge(torch.cat(maps, 1)), {}

    def _voxels(self, points: Tensor, batch: int) -> Tensor:
        """(B, heights x features, H, W): mean and maximum of each voxel's points, and how many they are."""
        bins, (rows, cols) = len(self.heights_m) + 1, self.grid.shape
        frame = frames_in_range(points, self.grid)
        floor = (points[:, 3:4] >= self.heights_m).sum(1)  # (M,) which voxel of its cell
        # Heights ride in the batch index; -1 stays outside.
        voxel = torch.where(frame >= 0, frame * bins + floor, -1)
        cells = torch.cat([voxel[:, None], self.grid.cells(points[:, 1:3])], 1)  # (M, 3)
        shape = (batch * bins, rows, cols)
        mean_z = gather_from_canvas(scatter_to_canvas(points[:, 3:4], cells, shape, "mean"), cells)
        feats = self.point_net(describe_points(points, mean_z, self.grid))
        count = scatter_to_canvas(torch.ones_like(points[:, :1]), cells, shape, "sum")
        pooled = [scatter_to_canvas(feats, cells, shape, reduce) for reduce in ("max", "mean")]
        canvas = torch.cat([*pooled, (count + 1).log() / 4], 1)
        return canvas.unflatten(0, (batch, bins)).flatten(1, 2)

    def loss(self, aux: dict[str, Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """No auxiliary loss."""
        return {}
