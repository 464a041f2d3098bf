"""Add what priors say to a BEV map, through a layer that starts at zero."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["GatedAddition"]


class GatedAddition(nn.Module):
    """Mix coarse BEV cells with what priors say at them, bring the result to full size, and add it.

    The last layer starts at zero, as a gate does: the model begins as the one without priors, and that one's weights
    give what they gave. Where a frame has no prior nothing is added, whatever was learned.

    Args:
        in_channels: C of the BEV map.
        seen: channels of what priors say.
        stride: cells of the map to a coarse one, along each side.
    """

    def __init__(self, in_channels: int, seen: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.mix = nn.Sequential(nn.Conv2d(in_channels + seen, in_channels, 1), nn.ReLU())
        self.add = nn.Conv2d(in_channels, in_channels, 3, padding=1)
        nn.init.zeros_(self.add.weight)
        nn.init.zeros_(self.add.bias)

    def coarse(self, bev: Tensor) -> Tensor:
        """(B, C, rows, cols) at the coarse cells; a last row or column may average fewer cells."""
        return F.avg_pool2d(bev, self.stride, ceil_mode=True) if self.stride > 1 else bev

    def forward(self, bev: Tensor, coarse: Tensor, said: Tensor, present: Tensor) -> Tensor:
        """The enriched map.

        Args:
            bev: (B, C, rows, cols).
            coarse: what :meth:`coarse` made of it.
            said: (B, seen, h, w) at the coarse cells.
            present: (B,) bool, whether a frame has a prior.
        """
        mixed = self.add(self.mix(torch.cat([coarse, said], 1)))
        if self.stride > 1:
            mixed = F.interpolate(mixed, scale_factor=float(self.stride), mode="bilinear", align_corners=False)
            mixed = mixed[..., : bev.shape[-2], : bev.shape[-1]]
        return bev + torch.where(present[:, None, None, None], mixed, torch.zeros_like(mixed))
