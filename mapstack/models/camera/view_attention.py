"""Attention of BEV queries to the camera images around the projections of their cells."""

import math

import torch
from torch import Tensor, nn

from mapstack.errors import ConfigError
from mapstack.ops import multi_scale_deformable_attention

from .projection import Sightings, atlas_location, stack_atlas

__all__ = ["KernelSampling", "OffsetSampling", "ViewAttention"]


class OffsetSampling(nn.Module):
    """Where to look and how much it counts, both predicted from the query (BEVFormer, ECCV 2022, section 3.3).

    Every head looks around the projection of every point of the pillar. The first of a point's samples starts on the
    projection itself and the others further out, each head in its own direction (the released code starts the first
    one cell away): an untrained network then already reads the right pixel.

    Args:
        embed_dims: C.
        num_heads: heads.
        num_points: Z, points of a pillar.
        num_samples: samples per head, level and point.
        num_levels: L, feature maps.
    """

    def __init__(self, embed_dims: int, num_heads: int, num_points: int, num_samples: int, num_levels: int) -> None:
        super().__init__()
        self.shape = (num_heads, num_levels, num_points, num_samples)
        total = math.prod(self.shape)
        self.offsets = nn.Linear(embed_dims, total * 2)
        self.weights = nn.Linear(embed_dims, total)
        angle = torch.arange(num_heads) * (2 * math.pi / num_heads)
        ring = torch.stack([angle.cos(), angle.sin()], -1)[:, None] * torch.arange(num_samples)[:, None]
        ring = ring[:, None, None].expand(*self.shape, 2)  # cells of the feature map
        nn.init.zeros_(self.offsets.weight)
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.weights.bias)
        self.offsets.bias = nn.Parameter(ring.flatten().clone())

    def forward(self, query: Tensor, at: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Places and weights of all samples.

        Args:
            query: (B, Q, C).
            at: (B, K, Q, Z, 2) as (x, y), [0, 1] across the images of K cameras.
            sizes: (L, 2), width and height of the feature maps.

        Returns:
            Places (B, K, Q, heads, L, P, 2) in feature cells, whole numbers at their centres, and weights
            (B, Q, heads, L, P) that sum to 1 over the last two axes.
        """
        heads, levels = self.shape[:2]
        offsets = self.offsets(query).unflatten(2, (*self.shape, 2))[:, None]  # (B, 1, Q, heads, L, Z, S, 2)
        middle = at[:, :, :, None, :, None] * sizes[:, None, None] - 0.5  # (B, K, Q, L, Z, 1, 2)
        places = (middle[:, :, :, None] + offsets).flatten(5, 6)
        weights = self.weights(query).unflatten(2, (heads, -1)).softmax(-1)
        return places, weights.unflatten(3, (levels, -1))


class KernelSampling(nn.Module):
    """A fixed kernel of feature cells about the projection, weighted from the query (MapTR's GKT, arXiv 2206.04584).

    Each head looks at one point of the pillar, so heads and heights go in turn. The projection is rounded to a whole
    cell, which is what makes the look-up cheap and forgiving of small errors of the calibration; a place outside the
    image counts as zero (the released code repeats the border).

    Args:
        embed_dims: C.
        num_heads: heads, a multiple of ``num_points``.
        num_points: Z, points of a pillar.
        kernel_size: (rows, cols) of the kernel, in feature cells, both odd.
        num_levels: L, feature maps.
    """

    def __init__(
        self, embed_dims: int, num_heads: int, num_points: int, kernel_size: tuple[int, int], num_levels: int
    ) -> None:
        super().__init__()
        if num_heads % num_points or min(kernel_size) < 1 or not all(side % 2 for side in kernel_size):
            raise ConfigError(
                f"num_heads must be a multiple of the {num_points} heights and kernel_size odd, got {num_heads} heads "
                f"and {tuple(kernel_size)}"
            )
        self.shape = (num_heads, num_levels, kernel_size[0] * kernel_size[1])
        self.weights = nn.Linear(embed_dims, math.prod(self.shape))
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.weights.bias)
        y, x = (torch.arange(side) - side // 2 for side in kernel_size)
        taps = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).flatten(0, 1)
        self.register_buffer("taps", taps.float(), persistent=False)  # (P, 2)
        self.register_buffer("point_of_head", torch.arange(num_heads) % num_points, persistent=False)

    def forward(self, query: Tensor, at: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`OffsetSampling.forward`."""
        middle = (at[:, :, :, self.point_of_head, None] * sizes).floor()  # (B, K, Q, heads, L, 2), the nearest cell
        places = middle[..., None, :] + self.taps
        weights = self.weights(query).unflatten(2, (self.shape[0], -1)).softmax(-1)
        return places, weights.unflatten(3, self.shape[1:])


class ViewAttention(nn.Module):
    """Spatial cross-attention: what the cameras that see a cell's pillar show there, averaged over them.

    Args:
        in_channels: C of the image features.
        embed_dims: C of the queries.
        sampling: an :class:`OffsetSampling` or a :class:`KernelSampling`.
    """

    def __init__(self, in_channels: int, embed_dims: int, sampling: nn.Module) -> None:
        super().__init__()
        self.num_heads, self.num_levels = sampling.shape[:2]
        self.value = nn.Conv2d(in_channels, embed_dims, 1)
        self.level = nn.Parameter(torch.zeros(self.num_levels, in_channels))
        self.sampling = sampling
        self.out = nn.Linear(embed_dims, embed_dims)
        for layer in (self.value, self.out):  # what is seen must not shrink on its way
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, query: Tensor, maps: list[Tensor], sightings: Sightings) -> Tensor:
        """Attend from every BEV cell.

        Args:
            query: (B, Q, C).
            maps: L maps (B, V, C', h, w).
            sightings: of the Q cells.

        Returns:
            (B, Q, C); for a cell that no camera sees, the same whatever the images show.
        """
        views, sizes = maps[0].shape[1], [tuple(level.shape[-2:]) for level in maps]
        places, weights = self.sampling(query, sightings.at, sightings.at.new_tensor([(w, h) for h, w in sizes]))
        shown = sightings.views[..., None, None, None]  # (B, K, Q, 1, 1, 1)
        located = [
            atlas_location(shown, level, (views, *size))
            for level, size in zip(places.split(1, dim=4), sizes, strict=True)
        ]
        locations = torch.cat(located, 4).flatten(1, 2)  # (B, K Q, heads, L, P, 2)
        many = sightings.views.shape[1]
        weights = weights[:, None].expand(-1, many, -1, -1, -1, -1).flatten(1, 2)
        shapes = [(views * (height + 1), width) for height, width in sizes]
        values = torch.cat([self._values(level, code) for level, code in zip(maps, self.level, strict=True)], 1)
        found = multi_scale_deformable_attention(values.to(locations.dtype), shapes, locations, weights)
        seen = sightings.seen.any(-1)[..., None].to(found.dtype)  # (B, K, Q, 1)
        mean = (found.unflatten(1, (many, -1)) * seen).sum(1) / seen.sum(1).clamp(min=1)
        return self.out(mean)

    def _values(self, level: Tensor, code: Tensor) -> Tensor:
        """(B, V (h + 1) w, heads, C / heads) of one (B, V, C', h, w) map and its level's code (C',)."""
        batched = level.flatten(0, 1) + code[:, None, None]
        atlas = stack_atlas(self.value(batched).unflatten(0, level.shape[:2]))
        return atlas.flatten(2).transpose(1, 2).unflatten(2, (self.num_heads, -1))
