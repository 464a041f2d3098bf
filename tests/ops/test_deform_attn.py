"""Deformable attention against a loop over bilinear samples."""

import math

import pytest
import torch
from torch import Tensor

from mapstack.ops import multi_scale_deformable_attention

SHAPES = [(3, 4), (2, 2)]
B, Q, HEADS, C, P = 2, 3, 2, 4, 2


def inputs(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(B, 16, HEADS, C, generator=generator, dtype=dtype)
    locations = torch.rand(B, Q, HEADS, 2, P, 2, generator=generator, dtype=dtype) * 1.4 - 0.2  # some outside
    weights = torch.rand(B, Q, HEADS, 2, P, generator=generator, dtype=dtype)
    return value, locations, weights


def bilinear(image: Tensor, x: float, y: float) -> Tensor:
    """Sample (H, W, C) at pixel coordinates with zero outside."""
    total = torch.zeros(image.shape[-1], dtype=image.dtype)
    for row in (math.floor(y), math.floor(y) + 1):
        for col in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < image.shape[0] and 0 <= col < image.shape[1]:
                total += (1 - abs(y - row)) * (1 - abs(x - col)) * image[row, col]
    return total


def test_equals_a_loop_over_samples() -> None:
    value, locations, weights = inputs()
    out = multi_scale_deformable_attention(value, torch.tensor(SHAPES), locations, weights)
    assert out.shape == (B, Q, HEADS * C)
    b, q, head = 1, 2, 1
    expected, first = torch.zeros(C, dtype=torch.float64), 0
    for level, (height, width) in enumerate(SHAPES):
        image = value[b, first : first + height * width, head].view(height, width, C)
        first += height * width
        for p in range(P):
            x, y = locations[b, q, head, level, p].tolist()
            sample = bilinear(image, x * width - 0.5, y * height - 0.5)
            expected += weights[b, q, head, level, p] * sample
    torch.testing.assert_close(out[b, q, head * C :], expected)


def test_gradients() -> None:
    tensors = [tensor.requires_grad_() for tensor in inputs()]
    check = lambda v, x, w: multi_scale_deformable_attention(v, SHAPES, x, w)  # noqa: E731
    assert torch.autograd.gradcheck(check, tensors, fast_mode=True)


def test_shapes_that_do_not_fit_are_refused() -> None:
    value, locations, weights = inputs()
    with pytest.raises(ValueError, match="sum"):
        multi_scale_deformable_attention(value, [(3, 4), (2, 3)], locations, weights)
    with pytest.raises(ValueError, match="same Q, heads, L, P"):
        multi_scale_deformable_attention(value, SHAPES, locations, weights[:, :1])
    with pytest.raises(ValueError, match="wants"):
        multi_scale_deformable_attention(value[0], SHAPES, locations, weights)
