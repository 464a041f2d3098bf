"""The Unified Vector Encoder of PriorDrive: attention within each vector, then between the vectors."""

from typing import NamedTuple

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mapstack.errors import ConfigError
from mapstack.models.decoders.layers import feed_forward
from mapstack.registry import MODELS
from mapstack.structures import PriorBatch

from .embedding import VectorEmbedding

__all__ = ["UnifiedVectorEncoder", "VectorTokens"]

BETWEEN = ("heads", "points")


class VectorTokens(NamedTuple):
    """Encoded prior vectors; rows of padding hold finite numbers without meaning.

    Args:
        elements: (B, N, C) a token a vector.
        points: (B, N, P, C) a token a point; None where an encoder makes none.
    """

    elements: Tensor
    points: Tensor | None


class _Within(nn.Module):
    """Every vector's tokens among themselves."""

    def __init__(self, embed_dims: int, num_heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(embed_dims, num_heads, batch_first=True)
        self.feed_forward = feed_forward(embed_dims)
        self.norms = nn.ModuleList(nn.LayerNorm(embed_dims) for _ in range(2))

    def forward(self, tokens: Tensor) -> Tensor:
        """Update (B, N, 1 + P, C)."""
        rows = self.norms[0](tokens).flatten(0, 1)
        seen = self.attention(rows, rows, rows, need_weights=False)[0].unflatten(0, tokens.shape[:2])
        tokens = tokens + seen
        return tokens + self.feed_forward(self.norms[1](tokens))


class _Between(nn.Module):
    """The vectors among each other: by their head tokens, or all tokens with all."""

    def __init__(self, embed_dims: int, num_heads: int, between: str) -> None:
        super().__init__()
        self.between = between
        self.no_map = nn.Parameter(torch.zeros(1, 1, embed_dims))  # without it a frame with no prior attends to nothing
        self.attention = nn.MultiheadAttention(embed_dims, num_heads, batch_first=True)
        self.to_points = nn.Linear(embed_dims, embed_dims) if between == "heads" else None
        self.feed_forward = feed_forward(embed_dims)
        self.norms = nn.ModuleList(nn.LayerNorm(embed_dims) for _ in range(2))

    def forward(self, tokens: Tensor, valid: Tensor) -> Tensor:
        """Update (B, N, 1 + P, C); ``valid`` is (B, N)."""
        shown = self.norms[0](tokens)
        if self.between == "heads":
            seen = self._attend(shown[:, :, 0], valid)[:, :, None]
            tokens = tokens + torch.cat([seen, self.to_points(seen).expand_as(tokens[:, :, 1:])], 2)
        else:
            every = valid[:, :, None].expand(tokens.shape[:3]).flatten(1)
            tokens = tokens + self._attend(shown.flatten(1, 2), every).unflatten(1, tokens.shape[1:3])
        return tokens + self.feed_forward(self.norms[1](tokens))

    def _attend(self, rows: Tensor, valid: Tensor) -> Tensor:
        keys = torch.cat([self.no_map.expand(rows.shape[0], -1, -1), rows], 1)
        absent = torch.cat([torch.zeros_like(valid[:, :1]), ~valid], 1)
        return self.attention(rows, keys, keys, key_padding_mask=absent, need_weights=False)[0]


@MODELS.register_module()
class UnifiedVectorEncoder(BaseModule):
    """Dual encoding of prior vectors from any number of maps (PriorDrive, AAAI 2026, section 3.3).

    First ``num_within`` layers of attention among a vector's own tokens, then ``num_between`` layers between
    vectors. By default vectors speak through their head tokens, and points hear what their head heard: the cost grows
    with N² and not with (N P)², so that thousands of vectors fit. ``between="points"`` is the published form, where
    every point of every vector attends to every other.

    Against the released BERT: pre-norm, a feed-forward block twice as wide as the tokens (there 48 times), and no
    order of vectors; see :class:`VectorEmbedding`.

    Args:
        num_points: P.
        embed_dims: C.
        num_heads: attention heads.
        num_within: layers within vectors.
        num_between: layers between vectors.
        between: "heads" or "points".
        init_cfg: as in MMEngine; ``dict(type="Pretrained", checkpoint=..., prefix="encoder.")`` starts from what
            :class:`VectorPretraining` learned.
    """

    def __init__(
        self,
        num_points: int = 20,
        embed_dims: int = 64,
        num_heads: int = 4,
        num_within: int = 2,
        num_between: int = 2,
        between: str = "heads",
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if between not in BETWEEN:
            raise ConfigError(f"between must be one of {BETWEEN}, got {between!r}")
        self.embed = VectorEmbedding(embed_dims, num_points)
        self.within = nn.ModuleList(_Within(embed_dims, num_heads) for _ in range(num_within))
        self.between = nn.ModuleList(_Between(embed_dims, num_heads, between) for _ in range(num_between))
        self.norm = nn.LayerNorm(embed_dims)
        self.embed_dims = embed_dims

    def forward(self, vectors: PriorBatch, hidden: Tensor | None = None) -> VectorTokens:
        """Encode the vectors of B frames; ``hidden`` as in :meth:`VectorEmbedding.forward`."""
        tokens = self.embed(vectors, hidden)
        for layer in self.within:
            tokens = layer(tokens)
        for layer in self.between:
            tokens = layer(tokens, vectors.valid)
        tokens = self.norm(tokens)
        return VectorTokens(tokens[:, :, 0], tokens[:, :, 1:])
