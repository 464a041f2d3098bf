"""Multi-scale deformable attention from ``grid_sample``: runs on CPU, trains, and exports to ONNX."""

from collections.abc import Sequence

from torch import Tensor

from . import reference

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
    return reference.multi_scale_deformable_attention(value, shapes, sampling_locations, attention_weights)


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
