"""Small errors in what the generator is given, so that it learns to go on after its own."""

import torch
from torch import Tensor

from .codec import VertexCodec

__all__ = ["jitter_tokens"]

NOISE_SHARE = 0.01  # standard deviation, of the side of the patch


def jitter_tokens(tokens: Tensor, codec: VertexCodec, prob: float) -> Tensor:
    """Move each of (..., 2) coordinate tokens with the given probability, by a hundredth of the patch's side or so.

    END, which pads sequences, may become a coordinate: nothing of an element comes after it.
    """
    sizes = torch.tensor(codec.sizes, device=tokens.device)
    shift = (torch.randn(tokens.shape, device=tokens.device) * sizes * NOISE_SHARE).round().long()
    moved = torch.minimum((tokens + shift).clamp(min=1), sizes)
    return torch.where(torch.rand(tokens.shape, device=tokens.device) < prob, moved, tokens)
