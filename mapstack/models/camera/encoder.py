"""What every camera-to-BEV encoder has: a grid, a backbone, a neck, and features per camera."""

import torch
from torch import Tensor, nn

from mapstack.errors import ConfigError
from mapstack.geometry import BEVGrid
from mapstack.registry import MODELS

__all__ = ["CameraEncoder"]


class CameraEncoder(nn.Module):
    """Base of the encoders; a subclass adds the view into BEV as ``forward(inputs) -> (bev, aux)``.

    Args:
        grid: keyword arguments of the task's :class:`BEVGrid`.
        cell_m: edge of this encoder's BEV cells.
        backbone: built from MODELS; returns maps, finest first, and has their ``out_channels``.
        channels: C of the BEV features.
        neck_channels: C of the image features.
        neck: built from MODELS with ``in_channels`` and ``channels``; None takes :class:`TopDownNeck`.
    """

    def __init__(
        self, grid: dict, cell_m: float, backbone: dict, channels: int, neck_channels: int, neck: dict | None
    ) -> None:
        super().__init__()
        self.grid = BEVGrid(**grid).with_cell(cell_m)
        self.backbone = MODELS.build(backbone)
        widths = {"in_channels": self.backbone.out_channels, "channels": neck_channels}
        self.neck = MODELS.build({"type": "TopDownNeck", **(neck or {}), **widths})
        self.out_channels = channels

    def require_one_level(self) -> None:
        """Refuse a neck of several levels in an encoder that reads one map."""
        if self.neck.num_levels != 1:
            raise ConfigError(
                f"{type(self).__name__} reads one feature map and {type(self.neck).__name__} makes "
                f"{self.neck.num_levels}; use TopDownNeck or MergedPyramid as its neck"
            )

    def features(self, images: Tensor) -> list[Tensor]:
        """Maps (B, V, C, h, w), finest first, of (B, V, 3, H, W) images."""
        maps = self.backbone(images.flatten(0, 1).contiguous(memory_format=torch.channels_last))
        return [level.unflatten(0, images.shape[:2]) for level in self.neck(maps)]

    def loss(self, aux: dict[str, Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """No auxiliary loss."""
        return {}
