"""Draw the map from above: supervision that the decoder profits from and that inference does not need."""

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from mapstack.models.losses import mask_loss
from mapstack.registry import MODELS

__all__ = ["BEVSegmentation"]


@MODELS.register_module()
class BEVSegmentation(nn.Module):
    """Draw each class on the BEV grid (the auxiliary dense segmentation of MapTRv2, section 3.5).

    Args:
        in_channels: C of the BEV features.
        num_classes: K.
        weight: weight of the loss.
    """

    def __init__(self, in_channels: int, num_classes: int, weight: float = 2.0) -> None:
        super().__init__()
        self.weight = weight
        self.head = nn.Sequential(
            Conv2dNormActivation(in_channels, in_channels // 2, 3), nn.Conv2d(in_channels // 2, num_classes, 1)
        )

    def forward(self, bev: Tensor) -> Tensor:
        """Logits (B, K, rows, cols) of (B, C, rows, cols)."""
        return self.head(bev)

    def loss(self, bev: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Loss against the drawn truth (B, K, rows', cols'), finer by a whole factor or of the same cells."""
        factor = mask.shape[-1] // bev.shape[-1]
        if mask.shape[-1] % bev.shape[-1] or mask.shape[-2] != factor * bev.shape[-2]:
            raise ValueError(
                f"bev_mask {tuple(mask.shape[-2:])} is not a whole multiple of the BEV {tuple(bev.shape[-2:])}; "
                "give DrawMap a grid whose cell_m divides the model's"
            )
        if factor > 1:
            mask = F.max_pool2d(mask.float(), factor)
        return {"loss_segmentation": self.weight * mask_loss(self.forward(bev), mask)}
