"""Fuse BEV maps of several sensors by concatenation and convolution."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from mapstack.registry import MODELS

__all__ = ["ConcatFusion", "ConvFusion"]


@MODELS.register_module()
class ConcatFusion(nn.Module):
    """Concatenate along channels, then one 3x3 convolution: the baseline, and what BEVFusion's released fuser does.

    Args:
        in_channels: C of each sensor's BEV map, in the order that :meth:`forward` receives them.
        channels: C of the result.
    """

    def __init__(self, in_channels: tuple[int, ...], channels: int = 64) -> None:
        super().__init__()
        self.conv = Conv2dNormActivation(sum(in_channels), channels, 3)
        self.out_channels = channels

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Fuse maps (B, C_i, rows, cols) into (B, C, rows, cols); a sensor that is absent is a map of zeros.

        Returns:
            The fused map, and what :meth:`loss` wants.
        """
        return self.conv(torch.cat(maps, 1)), {}

    def loss(self, aux: dict[str, Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """No auxiliary loss."""
        return {}

    def measured(self, aux: dict[str, Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Numbers of each frame (B,) for metrics, by the name that the samples give them: none."""
        return {}


class _Residual(nn.Module):
    """Two convolutions and a shortcut; starts as the identity (ReLU of a map that went through one)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            Conv2dNormActivation(channels, channels, 3),
            Conv2dNormActivation(channels, channels, 3, activation_layer=None),
        )
        nn.init.zeros_(self.body[-1][1].weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


@MODELS.register_module()
class ConvFusion(ConcatFusion):
    """The convolutional fuser of BEVFusion (ICRA 2023, section 3.3): residual blocks make up for local misalignment.

    Args:
        in_channels: C of each sensor's BEV map, in the order that :meth:`forward` receives them.
        channels: C of the result.
        num_blocks: residual blocks after the concatenation; each sees two cells further.
    """

    def __init__(self, in_channels: tuple[int, ...], channels: int = 64, num_blocks: int = 2) -> None:
        super().__init__(in_channels, channels)
        self.blocks = nn.Sequential(*[_Residual(channels) for _ in range(num_blocks)])

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """As :meth:`ConcatFusion.forward`."""
        fused, aux = super().forward(maps)
        return self.blocks(fused), aux
