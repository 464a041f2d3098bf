"""Decoder layers over map queries: what attends to what, with one interface for all of them. Pre-norm throughout."""

from typing import NamedTuple

from torch import Tensor, nn

from mapstack.geometry import BEVGrid

from .deformable import BEVDeformableAttention, MultiPointAttention

__all__ = ["DecoupledLayer", "MultiPointLayer", "Tokens", "attention_mask", "feed_forward", "mlp_head"]


class Tokens(NamedTuple):
    """Queries inside a decoder.

    Args:
        points: (B, Q, P, C) a token a point, or (B, Q, 1, C) where one token stands for all points of its element.
        elements: (B, Q, C) a token an element, None where a decoder has none.
    """

    points: Tensor
    elements: Tensor | None

    def summary(self) -> Tensor:
        """(B, Q, C): what tells an element's class."""
        mean = self.points.mean(2)
        return mean if self.elements is None else mean + self.elements


def mlp_head(embed_dims: int, outputs: int) -> nn.Sequential:
    """Two linear layers after a norm, to what a token says."""
    return nn.Sequential(
        nn.LayerNorm(embed_dims), nn.Linear(embed_dims, embed_dims), nn.ReLU(), nn.Linear(embed_dims, outputs)
    )


def feed_forward(embed_dims: int) -> nn.Sequential:
    """The block after attention, twice as wide inside."""
    return nn.Sequential(
        nn.Linear(embed_dims, 2 * embed_dims), nn.ReLU(inplace=True), nn.Linear(2 * embed_dims, embed_dims)
    )


def attention_mask(blocked: Tensor | None, copies: int, attention: nn.MultiheadAttention) -> Tensor | None:
    """What ``attention`` takes as its mask where every frame stands ``copies`` times in a row among its rows.

    Args:
        blocked: (T, T) bool for all frames alike, or (B, T, T).
        copies: rows of one frame.
        attention: whose number of heads counts.
    """
    if blocked is None or blocked.ndim == 2:
        return blocked
    return blocked[:, None].expand(-1, copies * attention.num_heads, -1, -1).flatten(0, 1)


class DecoupledLayer(nn.Module):
    """Attention among an element's points, among elements, and to the BEV (MapTRv2, IJCV 2024, section 3.4).

    Args:
        grid: the BEV grid of the map attended to.
        embed_dims: C.
        num_heads: attention heads.
        num_samples: BEV samples per head and point.
    """

    def __init__(self, grid: BEVGrid, embed_dims: int, num_heads: int, num_samples: int) -> None:
        super().__init__()
        self.within = nn.MultiheadAttention(embed_dims, num_heads, batch_first=True)
        self.between = nn.MultiheadAttention(embed_dims, num_heads, batch_first=True)
        self.to_bev = BEVDeformableAttention(grid, embed_dims, num_heads, num_samples)
        self.feed_forward = feed_forward(embed_dims)
        self.norms = nn.ModuleList(nn.LayerNorm(embed_dims) for _ in range(4))

    def forward(
        self, tokens: Tokens, position: Tensor, reference: Tensor, value: Tensor, blocked: Tensor | None
    ) -> tuple[Tokens, Tokens]:
        """Update the tokens.

        Args:
            tokens: a token a point.
            position: (B, Q, P, C), added to what attends.
            reference: (B, Q, P, 2) ego metres.
            value: (B, C, rows, cols).
            blocked: (Q, Q) or (B, Q, Q) bool, True where elements must not see each other; None lets all.

        Returns:
            What the next layer gets, and what the heads see: here the same.
        """
        x = tokens.points
        batch, queries, points, _ = x.shape
        rows = (self.norms[0](x) + position).flatten(0, 1)  # (B Q, P, C)
        x = x + self.within(rows, rows, rows, need_weights=False)[0].unflatten(0, (batch, queries))
        rows = (self.norms[1](x) + position).transpose(1, 2).flatten(0, 1)  # (B P, Q, C)
        mask = attention_mask(blocked, points, self.between)
        seen = self.between(rows, rows, rows, attn_mask=mask, need_weights=False)[0]
        x = x + seen.unflatten(0, (batch, points)).transpose(1, 2)
        x = x + self.to_bev(self.norms[2](x) + position, reference, value)
        moved = Tokens(x + self.feed_forward(self.norms[3](x)), None)
        return moved, moved


class MultiPointLayer(nn.Module):
    """Attention among elements, one token each, and to the BEV around all their points (StreamMapNet).

    Args:
        grid: the BEV grid of the map attended to.
        embed_dims: C.
        num_heads: attention heads.
        num_samples: BEV samples per head and point.
        num_points: P.
    """

    def __init__(self, grid: BEVGrid, embed_dims: int, num_heads: int, num_samples: int, num_points: int) -> None:
        super().__init__()
        self.between = nn.MultiheadAttention(embed_dims, num_heads, batch_first=True)
        self.to_bev = MultiPointAttention(grid, embed_dims, num_heads, num_samples, num_points)
        self.feed_forward = feed_forward(embed_dims)
        self.norms = nn.ModuleList(nn.LayerNorm(embed_dims) for _ in range(3))

    def forward(
        self, tokens: Tokens, position: Tensor, reference: Tensor, value: Tensor, blocked: Tensor | None
    ) -> tuple[Tokens, Tokens]:
        """As :meth:`DecoupledLayer.forward`, with tokens (B, Q, 1, C)."""
        x = tokens.points[:, :, 0]
        position = position.mean(2)  # of the element: where its points are
        rows = self.norms[0](x) + position
        mask = attention_mask(blocked, 1, self.between)
        x = x + self.between(rows, rows, rows, attn_mask=mask, need_weights=False)[0]
        x = x + self.to_bev(self.norms[1](x) + position, reference, value)
        x = x + self.feed_forward(self.norms[2](x))
        moved = Tokens(x[:, :, None], None)
        return moved, moved
