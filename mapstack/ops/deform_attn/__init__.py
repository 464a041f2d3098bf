"""Multi-scale deformable attention from ``grid_sample``: runs on CPU, trains, and exports to ONNX."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["multi_scale_deformable_attention"]


def multi_scale_deformable_attention(
    value: Tensor,
    spatial_shapes: Sequence[tuple[int, int]] | Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Sample each head's value maps at the given places and sum them with the given weights.

    Bilinear, zero outside the map, pixel centres at half integers, as in Deformable DETR.

    Args:
        value: (B, S, heads, channels), the L flattened maps one after the other.
        spatial_shapes: L pairs (H, W) with sum of H * W equal to S; plain integers when exporting.
        sampling_locations: (B, Q, heads, L, P, 2) as (x, y), [0, 1] across each map.
        attention_weights: (B, Q, heads, L, P), usually a softmax over L * P.

    Returns:
        (B, Q, heads * channels).

    Raises:
        ValueError: the shapes do not fit.
    """
    shapes = spatial_shapes.tolist() if isinstance(spatial_shapes, Tensor) else list(spatial_shapes)
    _check(value, shapes, sampling_locations, attention_weights)
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


def _check(value: Tensor, shapes: list[tuple[int, int]], sampling_locations: Tensor, attention_weights: Tensor) -> None:
    seen = (
        f"value {tuple(value.shape)}, shapes {shapes}, locations {tuple(sampling_locations.shape)}, "
        f"weights {tuple(attention_weights.shape)}"
    )
    if value.ndim != 4 or sampling_locations.ndim != 6 or sampling_locations.shape[-1] != 2:
        raise ValueError(f"deformable attention wants (B, S, heads, C) and (B, Q, heads, L, P, 2), got {seen}")
    if attention_weights.shape != sampling_locations.shape[:-1] or sampling_locations.shape[3] != len(shapes):
        raise ValueError(f"deformable attention: locations and weights must have the same Q, heads, L, P; got {seen}")
    if value.shape[2] != sampling_locations.shape[2] or value.shape[1] != sum(h * w for h, w in shapes):
        raise ValueError(f"deformable attention: value must have sum(H * W) rows and the same heads; got {seen}")
