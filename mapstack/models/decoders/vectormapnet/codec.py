"""Vertices as the tokens of a language: one number per coordinate, and one that ends a polyline."""

import torch
from torch import Tensor

from mapstack.errors import ConfigError
from mapstack.geometry import BEVGrid

__all__ = ["END", "VertexCodec"]

END = 0  # the token that closes a polyline; coordinates begin at 1


class VertexCodec:
    """Coordinates to tokens 1, 2, ... and back, ``token_m`` apart from one edge of the patch to the other.

    x and y share one vocabulary, as in the paper. Coordinates are rounded to the nearest token (error at most half of
    ``token_m``); the released code takes the floor, which moves every map by half a token on average.

    Args:
        grid: the patch.
        token_m: distance of neighbouring tokens; both sides of the patch are a whole number of it.
    """

    def __init__(self, grid: BEVGrid, token_m: float) -> None:
        counts = [round(size / token_m) for size in grid.size_m]
        if any(abs(count * token_m - size) > 1e-6 for count, size in zip(counts, grid.size_m, strict=True)):
            raise ConfigError(f"token_m {token_m} does not divide the patch of {grid.size_m} m; set one that does")
        self.token_m, self.low = token_m, grid.pc_range[:2]
        self.sizes = (counts[0] + 1, counts[1] + 1)

    @property
    def num_tokens(self) -> int:
        """Size of the vocabulary, the end token included."""
        return max(self.sizes) + 1

    def allowed(self) -> Tensor:
        """(2, num_tokens) bool: which tokens an x and which a y may be; only an x may be the end."""
        token = torch.arange(self.num_tokens)
        return torch.stack([token <= self.sizes[0], (token > END) & (token <= self.sizes[1])])

    def encode(self, points: Tensor) -> Tensor:
        """(..., 2) ego metres to tokens (..., 2) int64; points outside the patch go to its edge."""
        steps = (points - points.new_tensor(self.low)) / self.token_m
        return torch.minimum(steps.round().long().clamp(min=0), self._last(points.device)) + 1

    def decode(self, tokens: Tensor) -> Tensor:
        """Undo :meth:`encode` of (..., 2) coordinate tokens, float32 ego metres; the end token has no meaning here."""
        steps = (tokens - 1).clamp(min=0).float()
        return steps * self.token_m + steps.new_tensor(self.low)

    def _last(self, device: torch.device) -> Tensor:
        return torch.tensor(self.sizes, device=device) - 1
