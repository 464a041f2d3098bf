"""Where a point lies, as a vector that tells decimetres apart."""

import math

import torch
from torch import Tensor, nn

__all__ = ["PointEmbedding"]

WAVELENGTHS_M = (1.5, 200.0)


class PointEmbedding(nn.Module):
    """Sines and cosines of x and y at wavelengths from 1.5 to 200 m, mixed by two linear layers.

    Coordinates scaled to the patch, as they are, would hide what refinement corrects: 0.3 m is 1 % of their range.

    Args:
        embed_dims: C.
        num_frequencies: wavelengths, evenly spaced in their logarithm.
    """

    def __init__(self, embed_dims: int, num_frequencies: int = 12) -> None:
        super().__init__()
        shortest, longest = (math.log(value) for value in WAVELENGTHS_M)
        wavelengths = torch.linspace(shortest, longest, num_frequencies).exp()
        self.register_buffer("frequencies", 2 * math.pi / wavelengths, persistent=False)
        self.mix = nn.Sequential(
            nn.Linear(4 * num_frequencies, embed_dims), nn.ReLU(), nn.Linear(embed_dims, embed_dims)
        )

    def forward(self, points: Tensor) -> Tensor:
        """Map (..., 2) ego metres to (..., C)."""
        phase = (points[..., None] * self.frequencies).flatten(-2)
        return self.mix(torch.cat([phase.sin(), phase.cos()], -1))
