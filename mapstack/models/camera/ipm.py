"""Inverse perspective mapping: image features looked up at points on a few horizontal planes (VectorMapNet)."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import Conv2dNormActivation

from mapstack.errors import ConfigError
from mapstack.registry import MODELS

from .encoder import CameraEncoder
from .projection import Sightings, atlas_location, find_sightings, stack_atlas

__all__ = ["IPMEncoder"]


@MODELS.register_module()
class IPMEncoder(CameraEncoder):
    """Cameras to BEV by projecting the BEV cells into the images at fixed heights (ICML 2023, section 3.1).

    At every height a cell gets the mean of the features of the cameras that see it, zero where none does, and its
    own position; a convolution joins the heights. Nothing is learned about depth: what stands on the road is smeared
    along its ray, flat ground is right.

    Position is scaled to the range (the released code gives metres), and batch norm and ReLU follow the convolution,
    as everywhere in this package. The published camera branch is ``neck=MergedPyramid``, ``channels=128``,
    ``sample_cell_m=0.3``.

    Args:
        grid: keyword arguments of the task's :class:`BEVGrid`.
        cell_m: edge of this encoder's BEV cells.
        backbone: built from MODELS.
        channels: C of the BEV features.
        heights_m: ego z of the planes; the published ones suit an ego frame on the road.
        sample_cell_m: edge of the cells that are looked up, ``cell_m`` divided by a whole number; the convolution
            then strides. None takes ``cell_m``.
        max_views: cameras that a point is looked up in, the best-placed first.
        neck_channels: C of the image features.
        neck: see :class:`CameraEncoder`; one level.
    """

    def __init__(
        self,
        grid: dict,
        cell_m: float,
        backbone: dict,
        channels: int = 64,
        heights_m: tuple[float, ...] = (-1.1, 0.0, 0.5, 1.1),
        sample_cell_m: float | None = None,
        max_views: int = 2,
        neck_channels: int = 64,
        neck: dict | None = None,
    ) -> None:
        super().__init__(grid, cell_m, backbone, channels, neck_channels, neck)
        self.require_one_level()
        samples = self.grid.with_cell(sample_cell_m or cell_m)
        stride = round(cell_m / samples.cell_m)
        if stride < 1 or abs(stride * samples.cell_m - cell_m) > 1e-6:
            raise ConfigError(f"sample_cell_m must divide cell_m, {cell_m} m, a whole number of times: {sample_cell_m}")
        self.sample_shape, self.max_views = samples.shape, max_views
        planes = [np.insert(samples.centers(), 2, height, axis=-1).reshape(-1, 1, 3) for height in heights_m]
        points = torch.from_numpy(np.concatenate(planes)).float()  # (Z rows cols, 1, 3)
        self.register_buffer("points", points, persistent=False)
        half = torch.tensor(self.grid.size_m + (self.grid.pc_range[5] - self.grid.pc_range[2],)) / 2
        middle = torch.tensor([sum(self.grid.pc_range[axis::3]) / 2 for axis in range(3)])
        position = ((points[:, 0] - middle) / half).unflatten(0, (len(heights_m), *samples.shape))
        self.register_buffer("position", position.movedim(-1, 1), persistent=False)  # (Z, 3, rows, cols)
        width = len(heights_m) * (neck_channels + 3)
        self.reduce = Conv2dNormActivation(width, channels, 3, stride=stride)

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Encode (B, V, 3, H, W) images.

        Returns:
            BEV (B, C, rows, cols), and ``image_feats`` (B, V, N, h, w).
        """
        maps = self.features(inputs["images"])[0]
        sampled = self._sample(maps, find_sightings(self.points, inputs, self.max_views))  # (B, C, Z rows cols)
        planes = sampled.unflatten(2, (self.position.shape[0], *self.sample_shape)).transpose(1, 2)
        position = self.position.expand(planes.shape[0], -1, -1, -1, -1).to(planes.dtype)
        return self.reduce(torch.cat([planes, position], 2).flatten(1, 2)), {"image_feats": maps}

    def _sample(self, maps: Tensor, sightings: Sightings) -> Tensor:
        """(B, C, M): mean over the cameras that see each point, of (B, V, C, h, w) maps."""
        views, _, height, width = maps.shape[1:]
        cells = sightings.at[..., 0, :] * sightings.at.new_tensor([width, height]) - 0.5
        grid = 2 * atlas_location(sightings.views, cells, (views, height, width)) - 1  # (B, K, M, 2)
        # In float32 also under autocast: half of the bits would move the places by cells.
        sampled = F.grid_sample(stack_atlas(maps).to(grid.dtype), grid, mode="bilinear", align_corners=False)
        seen = sightings.seen[..., 0].to(grid.dtype)
        return (sampled * seen[:, None]).sum(2) / seen.sum(1).clamp(min=1)[:, None]
