"""How far a predicted coordinate may be off: the scale of a Laplace distribution around it."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import mlp_head

__all__ = ["LaplaceHead"]

MIN_SCALE_M = 0.02  # nothing is known better than the map itself
FIRST_SCALE_M = 0.5  # of an untrained head


class LaplaceHead(nn.Module):
    """Positive scales from tokens, times a factor that calibration on held-out frames may set.

    A network is surer of the streets that it was trained on than of others, so scales that fit the training error
    are too small elsewhere by about one factor; ``tools/calibrate.py`` measures it and writes it into ``factor``.

    Args:
        embed_dims: C.
        outputs: coordinates a token has scales for.
    """

    def __init__(self, embed_dims: int, outputs: int) -> None:
        super().__init__()
        self.head = mlp_head(embed_dims, outputs)
        nn.init.zeros_(self.head[-1].weight)
        nn.init.constant_(self.head[-1].bias, math.log(math.expm1(FIRST_SCALE_M - MIN_SCALE_M)))
        self.register_buffer("factor", torch.ones(()))

    def forward(self, tokens: Tensor) -> Tensor:
        """Scales in metres (..., outputs) of tokens (..., C)."""
        return (MIN_SCALE_M + F.softplus(self.head(tokens))) * self.factor
