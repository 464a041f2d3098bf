"""Attention of queries to the BEV around their points."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapstack.geometry import BEVGrid

__all__ = ["BEVDeformableAttention", "MultiPointAttention"]


class _SampledAttention(nn.Module):
    """What the two have in common: each query sees ``num_places`` places, ``num_samples`` samples around each.

    Args:
        grid: the BEV grid of the map attended to.
        embed_dims: C.
        num_heads: heads; each starts looking in its own direction.
        num_samples: samples per head and place, at growing distance.
        num_places: reference points of one query.
    """

    def __init__(self, grid: BEVGrid, embed_dims: int, num_heads: int, num_samples: int, num_places: int) -> None:
        super().__init__()
        self.grid, self.num_heads, self.num_samples, self.num_places = grid, num_heads, num_samples, num_places
        self.offsets = nn.Linear(embed_dims, num_heads * num_places * num_samples * 2)
        self.weights = nn.Linear(embed_dims, num_heads * num_places * num_samples)
        self.out = nn.Linear(embed_dims, embed_dims)
        angle = torch.arange(num_heads) * (2 * math.pi / num_heads)
        ring = torch.stack([angle.cos(), angle.sin()], -1)[:, None] * torch.arange(num_samples)[:, None] * grid.cell_m
        nn.init.zeros_(self.offsets.weight)
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.weights.bias)
        self.offsets.bias = nn.Parameter(ring[:, None].repeat(1, num_places, 1, 1).flatten())  # metres

    def _attend(self, query: Tensor, places: Tensor, value: Tensor) -> Tensor:
        """Attend from (B, T, C) tokens, each to its (B, T, L, 2) places in ego metres; (B, C, T)."""
        batch, tokens, dims = query.shape
        heads, samples = self.num_heads, self.num_places * self.num_samples
        offsets = self.offsets(query).view(batch, tokens, heads, self.num_places, self.num_samples, 2)
        at = self.grid.patch_from_ego(places[:, :, None, :, None] + offsets) * 2 - 1
        at = at.transpose(1, 2).flatten(0, 1).flatten(2, 3)  # (B heads, T, samples, 2)
        maps = value.unflatten(1, (heads, dims // heads)).flatten(0, 1)
        sampled = F.grid_sample(maps, at, mode="bilinear", padding_mode="zeros", align_corners=False)
        weights = self.weights(query).view(batch, tokens, heads, samples).softmax(-1)
        weights = weights.transpose(1, 2).flatten(0, 1)[:, None]  # (B heads, 1, T, samples)
        mixed = (sampled * weights).sum(-1)  # (B heads, C / heads, T)
        return self.out(mixed.view(batch, dims, tokens).transpose(1, 2))


class BEVDeformableAttention(_SampledAttention):
    """Single-scale deformable attention (Deformable DETR, section 4.1) over a BEV map: each point for itself.

    Args:
        grid: the BEV grid of the map attended to.
        embed_dims: C.
        num_heads: heads; each starts looking in its own direction.
        num_samples: samples per head and point, at growing distance.
    """

    def __init__(self, grid: BEVGrid, embed_dims: int, num_heads: int, num_samples: int) -> None:
        super().__init__(grid, embed_dims, num_heads, num_samples, num_places=1)

    def forward(self, query: Tensor, reference: Tensor, value: Tensor) -> Tensor:
        """Attend from (B, Q, P, C) tokens.

        Args:
            query: (B, Q, P, C).
            reference: (B, Q, P, 2) ego metres to look around.
            value: (B, C, rows, cols); zero outside the patch.

        Returns:
            (B, Q, P, C).
        """
        places = reference.flatten(1, 2)[:, :, None]
        return self._attend(query.flatten(1, 2), places, value).unflatten(1, query.shape[1:3])


class MultiPointAttention(_SampledAttention):
    """One query looks around every point of its element (StreamMapNet, WACV 2024, section 3.2).

    Args:
        grid: the BEV grid of the map attended to.
        embed_dims: C.
        num_heads: heads; each starts looking in its own direction.
        num_samples: samples per head and point, at growing distance.
        num_points: P.
    """

    def __init__(self, grid: BEVGrid, embed_dims: int, num_heads: int, num_samples: int, num_points: int) -> None:
        super().__init__(grid, embed_dims, num_heads, num_samples, num_places=num_points)

    def forward(self, query: Tensor, reference: Tensor, value: Tensor) -> Tensor:
        """Attend from (B, Q, C) tokens to ``value`` (B, C, rows, cols) around ``reference`` (B, Q, P, 2); (B, Q, C)."""
        return self._attend(query, reference, value)
