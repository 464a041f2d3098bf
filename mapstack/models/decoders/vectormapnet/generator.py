"""Polylines vertex by vertex: the second half of VectorMapNet (ICML 2023, section 3.3)."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapstack.geometry import BEVGrid
from mapstack.models.decoders.position import PointEmbedding
from mapstack.registry import MODELS

from .codec import END, VertexCodec
from .keypoints import BoundingBox, StartMiddleEnd

__all__ = ["Cache", "PolylineGenerator"]

IMPOSSIBLE = -1e4  # logit of a token that cannot stand there
MIN_VERTICES = 2

Memory = Sequence[tuple[Tensor, ...]]


class Cache(NamedTuple):
    """Keys and values of one layer, each (B N, heads, S, E / heads)."""

    keys: Tensor
    values: Tensor


def _smooth_code(num_tokens: int, embed_dims: int) -> Tensor:
    """(num_tokens, E): sines of a token's place, so that neighbours begin alike and need not each be learned alone."""
    wavelengths = torch.logspace(math.log10(4.0), math.log10(4.0 * num_tokens), embed_dims // 2)
    phase = torch.arange(num_tokens)[:, None] * (2 * math.pi / wavelengths)
    return torch.cat([phase.sin(), phase.cos()], 1)


class _Layer(nn.Module):
    """Attention to what came before, then to the BEV, then a feed-forward block. Pre-norm."""

    def __init__(self, context: nn.Module, embed_dims: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.project = nn.Linear(embed_dims, 3 * embed_dims)
        self.out = nn.Linear(embed_dims, embed_dims)
        self.context = context
        self.feed_forward = nn.Sequential(
            nn.Linear(embed_dims, 2 * embed_dims), nn.ReLU(), nn.Linear(2 * embed_dims, embed_dims)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(embed_dims) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def _attend(self, x: Tensor, heads: tuple[Tensor, Tensor, Tensor], mask: Tensor | None) -> Tensor:
        seen = F.scaled_dot_product_attention(*heads, attn_mask=mask)  # (B N, heads, T, E / heads)
        return self.out(seen.transpose(1, 2).flatten(2)).view(x.shape)

    def _heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of (B, N, T, E), each (B N, heads, T, E / heads)."""
        flat = self.project(self.norms[0](x)).flatten(0, 1)
        return flat.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)

    def _after(self, x: Tensor, seen: Tensor, reference: Tensor, memory: tuple[Tensor, ...]) -> Tensor:
        x = x + self.dropout(seen)
        x = x + self.dropout(self.context(self.norms[1](x), reference, memory))
        return x + self.dropout(self.feed_forward(self.norms[2](x)))

    def forward(self, x: Tensor, reference: Tensor, memory: tuple[Tensor, ...], mask: Tensor) -> tuple[Tensor, Cache]:
        """Update all of (B, N, T, E) at once; ``mask`` (T, T) is True where a row may see a column."""
        query, keys, values = self._heads(x)
        return self._after(x, self._attend(x, (query, keys, values), mask), reference, memory), Cache(keys, values)

    def step(
        self, x: Tensor, reference: Tensor, memory: tuple[Tensor, ...], cache: Cache, here: Tensor, traced: bool
    ) -> tuple[Tensor, Cache]:
        """Update one more token (B, N, 1, E) that has place ``here`` (1,) in the cache's S.

        The cache is written to, unless ``traced``: ONNX's loop has neither writes in place nor slices that grow.
        """
        query, key, value = self._heads(x)
        if traced:
            place = torch.arange(cache.keys.shape[2], device=x.device)
            mine = (place == here)[:, None]
            cache = Cache(torch.where(mine, key, cache.keys), torch.where(mine, value, cache.values))
            seen = self._attend(x, (query, *cache), (place <= here)[None])
        else:
            cache.keys.index_copy_(2, here, key)
            cache.values.index_copy_(2, here, value)
            known = int(here) + 1
            seen = self._attend(x, (query, cache.keys[:, :, :known], cache.values[:, :, :known]), None)
        return self._after(x, seen, reference, memory), cache


class PolylineGenerator(nn.Module):
    """A transformer over vertex tokens, conditioned on an element's class, its keypoints and the BEV.

    The sequence is [class, a token for each keypoint coordinate, x1, y1, x2, y2, ..., END]; what stands before x1 sees
    itself in both directions, everything after sees only what came before. A token carries its coordinate, its axis,
    the number of its vertex, and where it stands: the newest x and y.

    Args:
        codec: vertices to tokens.
        form: of the keypoints.
        grid: the BEV grid of the features.
        num_classes: K.
        embed_dims: E.
        num_layers: layers.
        num_heads: attention heads.
        max_vertices: V.
        context: how a token looks at the BEV, of ``LocalContext`` or ``GlobalContext``.
        dropout: in training.
    """

    def __init__(
        self,
        codec: VertexCodec,
        form: BoundingBox | StartMiddleEnd,
        grid: BEVGrid,
        num_classes: int,
        embed_dims: int,
        num_layers: int,
        num_heads: int,
        max_vertices: int,
        context: dict,
        dropout: float,
    ) -> None:
        super().__init__()
        self.codec, self.form, self.max_vertices = codec, form, max_vertices
        self.prefix_length = 1 + 2 * form.num_points
        self.class_embed = nn.Embedding(num_classes, embed_dims)
        self.vertex_embed = nn.Embedding.from_pretrained(_smooth_code(codec.num_tokens, embed_dims), freeze=False)
        self.slot_embed = nn.Embedding(2 * form.num_points, embed_dims)
        self.axis_embed = nn.Embedding(2, embed_dims)
        self.number_embed = nn.Embedding(max_vertices, embed_dims)
        self.position = PointEmbedding(embed_dims)
        parts = {"grid": grid, "embed_dims": embed_dims, "num_heads": num_heads, **context}
        self.layers = nn.ModuleList(
            _Layer(MODELS.build(dict(parts)), embed_dims, num_heads, dropout) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(embed_dims)
        self.head = nn.Linear(embed_dims, codec.num_tokens)
        with torch.no_grad():
            self.head.weight.copy_(_smooth_code(codec.num_tokens, embed_dims) / math.sqrt(embed_dims))
        self.register_buffer("allowed", codec.allowed(), persistent=False)
        self.register_buffer("low", torch.tensor(codec.low), persistent=False)

    def remember(self, value: Tensor) -> list[tuple[Tensor, ...]]:
        """What every layer keeps of (B, E, rows, cols)."""
        return [layer.context.remember(value) for layer in self.layers]

    def condition(self, labels: Tensor, keypoints: Tensor) -> tuple[Tensor, Tensor]:
        """The tokens before the first vertex.

        Args:
            labels: (B, N) int64.
            keypoints: (B, N, k, 2) int64 tokens.

        Returns:
            Embedded tokens (B, N, 1 + 2 k, E), and where each stands (B, N, 1 + 2 k, 2) ego metres.
        """
        points = self.codec.decode(keypoints)
        reference = torch.cat([points.mean(-2, keepdim=True), self.form.references(points)], -2)
        coordinates = self.vertex_embed(keypoints.flatten(-2)) + self.slot_embed.weight
        x = torch.cat([self.class_embed(labels)[:, :, None], coordinates], 2)
        return x + self.position(reference), reference

    def embed(self, tokens: Tensor, middle: Tensor) -> tuple[Tensor, Tensor]:
        """Vertex tokens (B, N, T), T even, of elements whose :meth:`condition` begins at ``middle`` (B, N, 2)."""
        axis = torch.arange(tokens.shape[2], device=tokens.device) % 2
        number = torch.arange(tokens.shape[2], device=tokens.device) // 2
        points = self.codec.decode(tokens.unflatten(2, (-1, 2)))  # (B, N, T / 2, 2)
        before = torch.cat([middle[:, :, None], points], 2)[:, :, :-1]
        half_known = torch.stack([points[..., 0], before[..., 1]], -1)  # a new x, with the y of the vertex before
        reference = torch.stack([half_known, points], 3).flatten(2, 3)
        x = self.vertex_embed(tokens) + self.axis_embed(axis) + self.number_embed(number)
        return x + self.position(reference), reference

    def prefill(self, labels: Tensor, keypoints: Tensor, memory: Memory) -> tuple[Tensor, Tensor, list[Cache]]:
        """Run what stands before the first vertex.

        Returns:
            What predicts the first token (B, N, E), where the element's middle is (B, N, 2), and each layer's cache
            with room for all vertices.
        """
        x, reference = self.condition(labels, keypoints)
        mask = torch.ones(self.prefix_length, self.prefix_length, dtype=torch.bool, device=x.device)
        caches = []
        for layer, remembered in zip(self.layers, memory, strict=True):
            x, cache = layer(x, reference, remembered, mask)
            caches.append(Cache(*(F.pad(part, (0, 0, 0, 2 * self.max_vertices)) for part in cache)))
        return x[:, :, -1], reference[:, :, 0], caches

    def step(
        self,
        token: Tensor,
        place: Tensor,
        reference: Tensor,
        memory: Memory,
        caches: Sequence[Cache],
        traced: bool = False,
    ) -> tuple[Tensor, list[Cache]]:
        """Run one more token.

        Args:
            token: (B, N) int64.
            place: (1,) int64, 0 for x1, 1 for y1, 2 for x2 ...
            reference: (B, N, 2) ego metres, where it stands.
            memory: of :meth:`remember`.
            caches: of :meth:`prefill`, written to unless ``traced``.
            traced: for ONNX, inside of a loop.

        Returns:
            What predicts the token after it (B, N, E), and the caches.
        """
        x = self.vertex_embed(token) + self.axis_embed(place % 2) + self.number_embed(place // 2)
        x, reference = (x + self.position(reference))[:, :, None], reference[:, :, None]
        grown = []
        for layer, remembered, cache in zip(self.layers, memory, caches, strict=True):
            x, cache = layer.step(x, reference, remembered, cache, self.prefix_length + place, traced)
            grown.append(cache)
        return x[:, :, 0], grown

    def logits(self, x: Tensor, place: Tensor) -> Tensor:
        """(..., vocabulary) of what (..., E) predicts at ``place`` (T,), for each of (..., T, E) or one for all."""
        allowed = self.allowed.index_select(0, place % 2)
        early = (place < 2 * MIN_VERTICES)[:, None] & (torch.arange(allowed.shape[1], device=x.device) == END)
        return self.head(self.norm(x)).masked_fill(~allowed | early, IMPOSSIBLE)

    def forward(self, labels: Tensor, keypoints: Tensor, tokens: Tensor, memory: Memory) -> Tensor:
        """Teacher forcing: logits (B, N, T + 1, vocabulary) of every token and the one after them, given (B, N, T)."""
        prefix, prefix_reference = self.condition(labels, keypoints)
        x, reference = self.embed(tokens, prefix_reference[:, :, 0])
        x, reference = torch.cat([prefix, x], 2), torch.cat([prefix_reference, reference], 2)
        index = torch.arange(x.shape[2], device=x.device)
        mask = (index <= index[:, None]) | (index < self.prefix_length)
        for layer, remembered in zip(self.layers, memory, strict=True):
            x, _ = layer(x, reference, remembered, mask)
        place = torch.arange(tokens.shape[2] + 1, device=x.device)
        return self.logits(x[:, :, self.prefix_length - 1 :], place)
