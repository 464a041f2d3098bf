"""What multi-scale deformable attention means, from ``grid_sample``: any device, differentiable, exportable."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["multi_scale_deformable_attention"]


def multi_scale_deformable_attention(
    value: Tensor, shapes: list[tuple[int, int]], sampling_locations: Tensor, attention_weights: Tensor
) -> Tensor:
    """See :func:`mapstack.ops.deform_attn.multi_scale_deformable_attention`."""
    batch, _, heads, channels = value.shape
    queries, points = sampling_locations.shape[1], sampling_locations.shape[4]
    maps = value.split([height * width for height, width in shapes], dim=1)
    grids = 2 * sampling_locations - 1
    sampled = []
    for level, (height, width) in enumerate(shapes):
        image = maps[level].permute(0, 2, 3, 1).reshape(batch * heads, channels, height, width)
        grid = grids[:, :, :, level].transpose(1, 2).flatten(0, 1)  # (B * heads, Q, P, 2)
        sampled.append(F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False))
    weights = attention_weights.permute(0, 2, 1, 3, 4).reshape(batch * heads, 1, queries, len(shapes) * points)
    out = (torch.cat(sampled, dim=-1) * weights).sum(-1)  # (B * heads, channels, Q)
    return out.view(batch, heads * channels, queries).transpose(1, 2)
