"""SuperMapNet's three levels of interaction (arXiv 2505.13856): point to point, element to element, point to element.

Point tokens and element tokens live side by side. Built as the paper has it: points speak within their element,
an element and its points exchange what they know, and the exchange is what the next layer begins with. The released
code lets every point speak to every other, every element exchange with every point, and drops the exchange after
the heads have read it; ``feed_back=False`` and ``own_points=False`` reproduce that.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mapstack.errors import ConfigError

from .layers import Tokens, attention_mask, feed_forward

__all__ = ["LEVELS", "InteractionLayer", "PointElementExchange"]

LEVELS = ("point", "element", "cross")


class PointElementExchange(nn.Module):
    """Points take from elements and elements from points, both at once.

    Args:
        embed_dims: C.
        num_heads: attention heads.
        own_points: an element exchanges with its own points; False lets all exchange with all.
    """

    def __init__(self, embed_dims: int, num_heads: int, own_points: bool) -> None:
        super().__init__()
        self.own_points = own_points
        self.norms = nn.ModuleList(nn.LayerNorm(embed_dims) for _ in range(2))
        self.to_element = nn.MultiheadAttention(embed_dims, num_heads, batch_first=True)
        if own_points:  # a point has one element to look at, so attention is a linear map of it
            self.to_point = nn.Linear(embed_dims, embed_dims)
        else:
            self.to_point = nn.MultiheadAttention(embed_dims, num_heads, batch_first=True)

    def forward(
        self, tokens: Tokens, position: Tensor, missing: Tensor | None, blocked: Tensor | None = None
    ) -> Tokens:
        """Exchange.

        Args:
            tokens: both kinds.
            position: (B, Q, P, C) of the points.
            missing: (Q, P) bool, True where an element has no such point; None where all have P.
            blocked: (Q, Q) or (B, Q, Q) bool, True where elements must not see each other; None lets all.
        """
        batch, queries, points, _ = tokens.points.shape
        keys = self.norms[0](tokens.points) + position
        elements = self.norms[1](tokens.elements)
        if self.own_points:
            hidden = None if missing is None else missing.repeat(batch, 1)
            rows = keys.flatten(0, 1)  # (B Q, P, C)
            asked = elements.flatten(0, 1)[:, None]
            seen = self.to_element(asked, rows, rows, key_padding_mask=hidden, need_weights=False)[0]
            seen = seen[:, 0].unflatten(0, (batch, queries))
            given = self.to_point(elements)[:, :, None]
        else:
            hidden = None if missing is None else missing.flatten()[None].expand(batch, -1)
            rows = keys.flatten(1, 2)  # (B, Q P, C)
            masks = [
                None if blocked is None else attention_mask(blocked.repeat_interleave(points, axis), 1, self.to_element)
                for axis in (-1, -2)
            ]
            seen = self.to_element(
                elements, rows, rows, attn_mask=masks[0], key_padding_mask=hidden, need_weights=False
            )[0]
            given = self.to_point(rows, elements, elements, attn_mask=masks[1], need_weights=False)[0]
            given = given.unflatten(1, (queries, points))
        return Tokens(tokens.points + given, tokens.elements + seen)


class InteractionLayer(nn.Module):
    """Points and elements look at the BEV, then speak at up to three levels.

    Args:
        embed_dims: C.
        num_heads: attention heads.
        look: makes the attention to the BEV, once for points and once for elements: a module that takes tokens
            (B, Q, P, C), where to look, and the BEV value.
        levels: of :data:`LEVELS`, those that are on.
        feed_back: hand the point-to-element result to the next layer (the paper), or to the heads alone (the code).
        own_points: keep points to their element (the paper), or let all points meet (the code).
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        look: Callable[[], nn.Module],
        levels: Sequence[str] = LEVELS,
        feed_back: bool = True,
        own_points: bool = True,
    ) -> None:
        super().__init__()
        unknown = set(levels) - set(LEVELS)
        if unknown:
            raise ConfigError(f"interaction levels {sorted(unknown)} are unknown; choose from {LEVELS}")
        self.feed_back, self.own_points = feed_back, own_points
        self.look = nn.ModuleDict({"point": look(), "element": look()})
        self.attention = nn.ModuleDict(
            {
                name: nn.MultiheadAttention(embed_dims, num_heads, batch_first=True)
                for name in ("point", "element")
                if name in levels
            }
        )
        self.exchange = PointElementExchange(embed_dims, num_heads, own_points) if "cross" in levels else None
        self.feed_forward = nn.ModuleDict({"point": feed_forward(embed_dims), "element": feed_forward(embed_dims)})
        self.norms = nn.ModuleDict(
            {
                f"{name}_{step}": nn.LayerNorm(embed_dims)
                for name in ("point", "element")
                for step in ("look", "feed", *(("speak",) if name in levels else ()))
            }
        )

    def forward(
        self,
        tokens: Tokens,
        position: Tensor,
        where: tuple[Tensor, Tensor],
        value: Tensor,
        blocked: Tensor | None = None,
        missing: Tensor | None = None,
    ) -> tuple[Tokens, Tokens]:
        """Update both kinds of tokens.

        Args:
            tokens: points (B, Q, P, C) and elements (B, Q, C).
            position: (B, Q, P, C) of the points; an element's is their mean.
            where: what ``look`` takes for points and for elements.
            value: what ``look`` attends to.
            blocked: (Q, Q) or (B, Q, Q) bool, True where elements must not see each other; None lets all.
            missing: (Q, P) bool, True where an element has no such point; None where all have P.

        Returns:
            What the next layer gets, and what the heads see.
        """
        x, e = tokens.points, tokens.elements[:, :, None]  # (B, Q, P, C) and (B, Q, 1, C)
        present = torch.ones_like(position[..., :1]) if missing is None else (~missing)[None, :, :, None].to(x.dtype)
        center = (position * present).sum(2, keepdim=True) / present.sum(2, keepdim=True)
        x = x + self.look["point"](self.norms["point_look"](x) + position, where[0], value)
        e = e + self.look["element"](self.norms["element_look"](e) + center, where[1], value)
        if "point" in self.attention:
            x = x + self._among_points(self.norms["point_speak"](x) + position, missing, blocked)
        x = x + self.feed_forward["point"](self.norms["point_feed"](x))
        if "element" in self.attention:
            rows = (self.norms["element_speak"](e) + center)[:, :, 0]
            speak = self.attention["element"]
            mask = attention_mask(blocked, 1, speak)
            e = e + speak(rows, rows, rows, attn_mask=mask, need_weights=False)[0][:, :, None]
        e = e + self.feed_forward["element"](self.norms["element_feed"](e))
        plain = Tokens(x, e[:, :, 0])
        if self.exchange is None:
            return plain, plain
        exchanged = self.exchange(plain, position, missing, blocked)
        return (exchanged if self.feed_back else plain), exchanged

    def _among_points(self, rows: Tensor, missing: Tensor | None, blocked: Tensor | None) -> Tensor:
        """What points learn from points: of their own element, or of all that ``blocked`` lets them see."""
        batch, queries, points, _ = rows.shape
        speak = self.attention["point"]
        if self.own_points:
            flat = rows.flatten(0, 1)
            hidden = None if missing is None else missing.repeat(batch, 1)
            return speak(flat, flat, flat, key_padding_mask=hidden, need_weights=False)[0].unflatten(
                0, (batch, queries)
            )
        flat = rows.flatten(1, 2)
        hidden = None if missing is None else missing.flatten()[None].expand(batch, -1)
        if blocked is not None:
            blocked = blocked.repeat_interleave(points, -2).repeat_interleave(points, -1)
        mask = attention_mask(blocked, 1, speak)
        seen = speak(flat, flat, flat, attn_mask=mask, key_padding_mask=hidden, need_weights=False)[0]
        return seen.unflatten(1, (queries, points))
