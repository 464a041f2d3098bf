"""From a trained generator to polylines: greedy or nucleus sampling, all elements of all frames at once."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch._higher_order_ops import while_loop

from .codec import END
from .generator import Cache, Memory, PolylineGenerator

__all__ = ["Polylines", "Sampler", "generate", "generate_without_cache"]


class Polylines(NamedTuple):
    """Generated elements, padded to V vertices.

    Args:
        vertices: (B, N, V, 2) ego metres.
        counts: (B, N) int64, from 2 to V.
        scales: (B, N, V, 2) metres: how far each coordinate would lie from the chosen one on average, were it drawn
            from the distribution that it was chosen from, and a quarter of a token for its rounding; 0 on padding.
    """

    vertices: Tensor
    counts: Tensor
    scales: Tensor


class Sampler(NamedTuple):
    """How a token is chosen.

    Args:
        uniforms: (N, 2 V) in [0, 1), the draws of every element's tokens, the same in each frame, so that a frame's
            result does not depend on its batch; None takes the likeliest token.
        top_p: nucleus: the likeliest tokens whose probability before them adds up to this at most are drawn from.
    """

    uniforms: Tensor | None = None
    top_p: float = 1.0

    @classmethod
    def seeded(cls, seed: int, num_elements: int, max_vertices: int, top_p: float) -> "Sampler":
        """The same draws for the same seed, on every device."""
        generator = torch.Generator().manual_seed(seed)
        return cls(torch.rand(num_elements, 2 * max_vertices, generator=generator), top_p)

    def choose(self, logits: Tensor, place: Tensor) -> Tensor:
        """(B, N) int64 from (B, N, vocabulary), the tokens at ``place`` (1,)."""
        if self.uniforms is None:
            return logits.argmax(-1)
        ranked, tokens = logits.softmax(-1).sort(-1, descending=True)
        before = ranked.cumsum(-1) - ranked
        kept = ranked.masked_fill(before > self.top_p, 0).cumsum(-1)
        draw = self.uniforms.to(logits.device).index_select(1, place) * kept[..., -1:]
        rank = (kept <= draw).sum(-1).clamp(max=logits.shape[-1] - 1)
        return tokens.gather(-1, rank[..., None])[..., 0]


def _loop(go_on: Callable[..., Tensor], body: Callable[..., tuple], state: tuple) -> tuple:
    """``while go_on(*state): state = body(*state)``, as one ONNX Loop where that is what is being made."""
    if torch.onnx.is_in_onnx_export():
        return while_loop(go_on, body, state)
    while go_on(*state):
        state = body(*state)
    return state


def generate(
    generator: PolylineGenerator, memory: Memory, labels: Tensor, keypoints: Tensor, sampler: Sampler
) -> Polylines:
    """Write N elements of each of B frames, token by token, until all have ended.

    Args:
        generator: in eval mode.
        memory: of ``generator.remember``.
        labels: (B, N) int64.
        keypoints: (B, N, k, 2) int64 tokens.
        sampler: how tokens are chosen.
    """
    codec, length = generator.codec, 2 * generator.max_vertices
    traced = torch.onnx.is_in_onnx_export()  # asked here: inside of the loop it is always False
    hidden, middle, caches = generator.prefill(labels, keypoints, memory)
    tokens = labels.new_zeros(*labels.shape, length)
    spread = middle.new_zeros(*labels.shape, length)

    def go_on(place: Tensor, ended: Tensor, *_: Tensor) -> Tensor:
        return (place < length).all() & ~ended.all()

    def body(
        place: Tensor, ended: Tensor, tokens: Tensor, spread: Tensor, hidden: Tensor, newest: Tensor, *flat: Tensor
    ) -> tuple:
        logits = generator.logits(hidden, place)
        token = sampler.choose(logits, place).masked_fill(ended, END)
        here = torch.arange(length, device=token.device) == place
        spread = torch.where(here, _spread(logits, token, codec.token_m)[..., None], spread)
        tokens = torch.where(here, token[..., None], tokens)
        axis = place % 2
        moved = (token - 1).float() * codec.token_m + generator.low.index_select(0, axis)
        newest = torch.where(torch.arange(2, device=token.device) == axis, moved[..., None], newest)
        layers = [Cache(*pair) for pair in zip(flat[::2], flat[1::2], strict=True)]
        hidden, layers = generator.step(token, place, newest, memory, layers, traced)
        return place + 1, ended | (token == END), tokens, spread, hidden, newest, *(part for c in layers for part in c)

    start = torch.zeros(1, dtype=torch.long, device=labels.device)
    ended = torch.zeros_like(labels, dtype=torch.bool)
    flat = tuple(part for cache in caches for part in cache)
    # ONNX's loop wants what goes in to lie in memory as what comes out.
    state = (start, ended, tokens, spread, hidden.contiguous(), middle.contiguous(), *flat)
    _, _, tokens, spread, *_ = _loop(go_on, body, state)
    return _finished(generator, tokens, spread)


def _spread(logits: Tensor, token: Tensor, token_m: float) -> Tensor:
    """Mean distance (B, N) in metres from the chosen coordinate, over the distribution of (B, N, vocabulary)."""
    index = torch.arange(logits.shape[-1], device=logits.device)
    distance = (index - token[..., None]).abs() * (index != END)
    return (logits.softmax(-1) * distance).sum(-1) * token_m + token_m / 4


def _finished(generator: PolylineGenerator, tokens: Tensor, spread: Tensor) -> Polylines:
    pairs = tokens.unflatten(2, (-1, 2))
    written = pairs[..., :1] != END
    scales = spread.unflatten(2, (-1, 2)).masked_fill(~written, 0)
    return Polylines(generator.codec.decode(pairs), written.sum((-2, -1)), scales)


def generate_without_cache(
    generator: PolylineGenerator, memory: Memory, labels: Tensor, keypoints: Tensor, sampler: Sampler
) -> Polylines:
    """What :func:`generate` must equal: the whole sequence is run anew for every token."""
    tokens = labels.new_zeros(*labels.shape, 0)
    spread = memory[0][0].new_zeros(*labels.shape, 2 * generator.max_vertices)
    ended = torch.zeros_like(labels, dtype=torch.bool)
    for place in range(2 * generator.max_vertices):
        even = torch.nn.functional.pad(tokens, (0, place % 2))  # a y that is not known yet, behind what is asked for
        logits = generator(labels, keypoints, even, memory)[:, :, place]
        token = sampler.choose(logits, torch.tensor([place])).masked_fill(ended, END)
        spread[..., place] = _spread(logits, token, generator.codec.token_m)
        tokens, ended = torch.cat([tokens, token[..., None]], 2), ended | (token == END)
        if ended.all():
            break
    missing = 2 * generator.max_vertices - tokens.shape[2]
    return _finished(generator, torch.nn.functional.pad(tokens, (0, missing)), spread)
