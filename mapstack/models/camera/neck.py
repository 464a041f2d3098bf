"""Feature pyramids between an image backbone and the view into BEV."""

import math

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from mapstack.registry import MODELS

__all__ = ["FeaturePyramid", "MergedPyramid", "TopDownNeck"]


def _top_down(lateral: nn.ModuleList, maps: list[Tensor]) -> list[Tensor]:
    """Each level plus what comes down from the coarser ones, finest first."""
    merged = [lateral[-1](maps[-1])]
    for layer, finer in zip(reversed(lateral[:-1]), reversed(maps[:-1]), strict=True):
        merged.insert(0, layer(finer) + F.interpolate(merged[0], size=finer.shape[-2:], mode="nearest"))
    return merged


@MODELS.register_module()
class TopDownNeck(nn.Module):
    """The top-down path of a feature pyramid (FPN, CVPR 2017, section 3), keeping only its finest map.

    Args:
        in_channels: C of each incoming map, finest first.
        channels: C of the result.
    """

    def __init__(self, in_channels: list[int], channels: int) -> None:
        super().__init__()
        self.num_levels = 1
        self.lateral = nn.ModuleList(Conv2dNormActivation(width, channels, 1) for width in in_channels)
        self.smooth = Conv2dNormActivation(channels, channels, 3)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Merge maps (N, C_i, h_i, w_i), finest first, into one (N, C, h_0, w_0)."""
        return [self.smooth(_top_down(self.lateral, maps)[0])]


@MODELS.register_module()
class FeaturePyramid(nn.Module):
    """The whole pyramid (FPN, CVPR 2017, section 3): as many levels out as in, all of one width.

    Args:
        in_channels: C of each incoming map, finest first.
        channels: C of every level.
    """

    def __init__(self, in_channels: list[int], channels: int) -> None:
        super().__init__()
        self.num_levels = len(in_channels)
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in in_channels)
        self.smooth = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in in_channels)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Turn maps (N, C_i, h_i, w_i), finest first, into (N, C, h_i, w_i)."""
        return [smooth(level) for smooth, level in zip(self.smooth, _top_down(self.lateral, maps), strict=True)]


class _Upscale(nn.Module):
    """A convolution, then twice the size; ``size`` is asked for, as a level need not be half of the one below."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(math.gcd(32, channels), channels)

    def forward(self, level: Tensor, size: tuple[int, int]) -> Tensor:
        level = F.relu(self.norm(self.conv(level)))
        return F.interpolate(level, size=size, mode="bilinear", align_corners=False)


@MODELS.register_module()
class MergedPyramid(nn.Module):
    """A whole pyramid whose levels are brought to the finest one's size and summed.

    As VectorMapNet's image neck does it (its released ``ipm_backbone.py``), after Panoptic FPN (CVPR 2019, section 3):
    a level climbs one step at a time, each with a 3x3 convolution, group norm, ReLU and bilinear doubling.

    Args:
        in_channels: C of each incoming map, finest first.
        channels: C of the result.
    """

    def __init__(self, in_channels: list[int], channels: int) -> None:
        super().__init__()
        self.num_levels = 1
        self.pyramid = FeaturePyramid(in_channels, channels)
        # Level i needs i doublings; the finest keeps its size and gets a convolution alone.
        self.climbs = nn.ModuleList(
            nn.ModuleList(_Upscale(channels) for _ in range(max(level, 1))) for level in range(len(in_channels))
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Merge maps (N, C_i, h_i, w_i), finest first, into one (N, C, h_0, w_0)."""
        levels = self.pyramid(maps)
        sizes = [level.shape[-2:] for level in levels]
        total = None
        for i, (climb, level) in enumerate(zip(self.climbs, levels, strict=True)):
            for step, upscale in enumerate(climb):
                level = upscale(level, sizes[max(i - step - 1, 0)])
            total = level if total is None else total + level
        return [total]
