"""A convolutional U-Net over BEV features: sees the whole patch, keeps the fine cells."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from mapstack.registry import MODELS

__all__ = ["BEVUNet"]


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            Conv2dNormActivation(channels, channels, 3),
            Conv2dNormActivation(channels, channels, 3, activation_layer=None),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


@MODELS.register_module()
class BEVUNet(nn.Module):
    """Residual blocks at each scale, halved on the way down and added back on the way up.

    The cell's position is given as two more channels: where a line leaves the patch depends on it.

    Args:
        in_channels: C of the fused BEV map.
        channels: width at each scale, finest first; each further scale halves rows and columns.
        depths: residual blocks at each scale, as many as ``channels``.
    """

    def __init__(
        self,
        in_channels: int,
        channels: tuple[int, ...] = (64, 96, 128, 128),
        depths: tuple[int, ...] = (1, 2, 2, 2),
    ) -> None:
        super().__init__()
        self.stem = Conv2dNormActivation(in_channels + 2, channels[0], 3)
        self.blocks = nn.ModuleList(
            nn.Sequential(*[_Residual(width) for _ in range(depth)])
            for width, depth in zip(channels, depths, strict=True)
        )
        self.down = nn.ModuleList(
            Conv2dNormActivation(a, b, 3, stride=2) for a, b in zip(channels[:-1], channels[1:], strict=True)
        )
        self.up = nn.ModuleList(Conv2dNormActivation(b, a, 1) for a, b in zip(channels[:-1], channels[1:], strict=True))
        self.merge = nn.ModuleList(Conv2dNormActivation(a, a, 3) for a in channels[:-1])
        self.out_channels = channels[0]

    def forward(self, bev: Tensor) -> Tensor:
        """Map (B, in, rows, cols) to (B, C, rows, cols)."""
        rows, cols = bev.shape[-2:]
        y = torch.linspace(-1, 1, rows, device=bev.device)[:, None].expand(rows, cols)
        x = torch.linspace(-1, 1, cols, device=bev.device)[None].expand(rows, cols)
        position = torch.stack([x, y]).expand(bev.shape[0], -1, -1, -1).to(bev.dtype)
        level = self.stem(torch.cat([bev, position], 1))
        skips = []
        for i, block in enumerate(self.blocks):
            level = block(self.down[i - 1](level) if i else level)
            skips.append(level)
        for i in reversed(range(len(self.up))):
            lifted = F.interpolate(self.up[i](level), size=skips[i].shape[-2:], mode="bilinear", align_corners=False)
            level = self.merge[i](skips[i] + lifted)
        return level
