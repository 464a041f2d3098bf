"""Fuse BEV maps of several sensors by concatenation."""

import torch
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from mapstack.registry import MODELS

__all__ = ["ConcatFusion"]


@MODELS.register_module()
class ConcatFusion(nn.Module):
    """Concatenate along channels, then one 3x3 convolution (the fuser of BEVFusion and MapTRv2).

    Args:
        in_channels: C of each sensor's BEV map, in the order that :meth:`forward` receives them.
        channels: C of the result.
    """

    def __init__(self, in_channels: tuple[int, ...], channels: int = 64) -> None:
        super().__init__()
        self.conv = Conv2dNormActivation(sum(in_channels), channels, 3)
        self.out_channels = channels

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Fuse maps (B, C_i, rows, cols) into (B, C, rows, cols)."""
        return self.conv(torch.cat(maps, 1))
