"""Attention of polyline points to the BEV around them."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapstack.geometry import BEVGrid

__all__ = ["BEVDeformableAttention"]


class BEVDeformableAttention(nn.Module):
    """Single-scale deformable attention (Deformable DETR, section 4.1) over a BEV map, by ``grid_sample``.

    Args:
        grid: the BEV grid of the map attended to.
        embed_dims: C.
        num_heads: heads; each starts looking in its own direction.
        num_samples: samples per head and point, at growing distance.
    """

    def __init__(self, grid: BEVGrid, embed_dims: int, num_heads: int, num_samples: int) -> None:
        super().__init__()
        self.grid, self.num_heads, self.num_samples = grid, num_heads, num_samples
        self.offsets = nn.Linear(embed_dims, num_heads * num_samples * 2)
        self.weights = nn.Linear(embed_dims, num_heads * num_samples)
        self.out = nn.Linear(embed_dims, embed_dims)
        angle = torch.arange(num_heads) * (2 * math.pi / num_heads)
        ring = torch.stack([angle.cos(), angle.sin()], -1)[:, None] * torch.arange(num_samples)[:, None] * grid.cell_m
        nn.init.zeros_(self.offsets.weight)
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.weights.bias)
        self.offsets.bias = nn.Parameter(ring.flatten())  # metres

    def forward(self, query: Tensor, reference: Tensor, value: Tensor) -> Tensor:
        """Attend from (B, Q, P, C) tokens.

        Args:
            query: (B, Q, P, C).
            reference: (B, Q, P, 2) ego metres to look around.
            value: (B, C, rows, cols); zero outside the patch.

        Returns:
            (B, Q, P, C).
        """
        batch, queries, points, dims = query.shape
        heads, samples = self.num_heads, self.num_samples
        offsets = self.offsets(query).view(batch, queries * points, heads, samples, 2)
        at = self.grid.patch_from_ego(reference.flatten(1, 2)[:, :, None, None] + offsets) * 2 - 1
        at = at.transpose(1, 2).flatten(0, 1)  # (B heads, Q P, samples, 2)
        maps = value.unflatten(1, (heads, dims // heads)).flatten(0, 1)
        sampled = F.grid_sample(maps, at, mode="bilinear", padding_mode="zeros", align_corners=False)
        weights = self.weights(query).view(batch, queries * points, heads, samples).softmax(-1)
        weights = weights.transpose(1, 2).flatten(0, 1)[:, None]  # (B heads, 1, Q P, samples)
        mixed = (sampled * weights).sum(-1)  # (B heads, C / heads, Q P)
        return self.out(mixed.view(batch, dims, queries, points).permute(0, 2, 3, 1))
