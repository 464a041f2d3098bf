"""What a decoder begins with: element and point queries, learned or proposed by the BEV."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from mapstack.geometry import BEVGrid

__all__ = ["JoinsQueries", "LearnedQueries", "Queries", "hide_absent", "midpoints"]


@dataclass(frozen=True)
class Queries:
    """Q elements of each frame before the first layer.

    Args:
        points: (B, Q, P, D) ego metres.
        element: (B, Q, C) what is known of the element as a whole.
        labels: (B, Q) int64 class it was proposed as, the number of classes where it is of none of them (a prior's);
            None for learned queries, which have none.
        present: (B, Q) bool, False for a place without a query; None where all are there.
        point_feats: (B, Q, P, C) what is known of each point beyond its number; None where nothing is.
    """

    points: Tensor
    element: Tensor
    labels: Tensor | None
    present: Tensor | None = None
    point_feats: Tensor | None = None

    def split(self, first: int) -> "tuple[Queries, Queries]":
        """The first so many queries, and the others."""
        known = {name: value for name, value in vars(self).items() if value is not None}
        return (
            replace(self, **{name: value[:, :first] for name, value in known.items()}),
            replace(self, **{name: value[:, first:] for name, value in known.items()}),
        )

    @classmethod
    def join(cls, parts: "list[Queries]") -> "Queries":
        """The queries of all parts, in order; labels where all have them."""

        def joined(name: str, missing: Callable[[Queries], Tensor]) -> Tensor | None:
            values = [getattr(part, name) for part in parts]
            if all(value is None for value in values):
                return None
            pairs = zip(values, parts, strict=True)
            return torch.cat([missing(part) if value is None else value for value, part in pairs], 1)

        labelled = all(part.labels is not None for part in parts)
        return cls(
            torch.cat([part.points for part in parts], 1),
            torch.cat([part.element for part in parts], 1),
            torch.cat([part.labels for part in parts], 1) if labelled else None,
            joined("present", lambda part: torch.ones_like(part.element[..., 0], dtype=torch.bool)),
            joined("point_feats", lambda part: torch.zeros_like(part.points[..., :1] * part.element[:, :, None])),
        )


class JoinsQueries(Protocol):
    """What a decoder may take as ``prior``: K vectors of each frame that join its own queries.

    A decoder that sets ``takes_priors`` takes one in ``forward`` and ``loss``, makes for each vector the context that
    it would begin a query of its own with, and decodes what :meth:`join` returns as far as it is ``present``.
    """

    points: Tensor  # (B, K, P, 2) ego metres
    labels: Tensor  # (B, K) int64, the number of classes where a vector is of none

    def join(self, own: Queries, context: Tensor) -> Queries:
        """The decoder's queries with the vectors among them; ``context`` is (B, K, C)."""


def midpoints(points: Tensor) -> Tensor:
    """(..., 2) metres of polylines (..., P, 2): half way along an open one, the centroid of a closed one's points."""
    count = points.shape[-2]
    half = (points[..., (count - 1) // 2, :] + points[..., count // 2, :]) / 2
    closed = (points[..., 0, :] == points[..., -1, :]).all(-1, keepdim=True)
    return torch.where(closed, points[..., :-1, :].mean(-2), half)


def hide_absent(blocked: Tensor | None, present: Tensor | None) -> Tensor | None:
    """A mask of attention under which nobody but itself sees a query that is not there.

    Args:
        blocked: (T, T) bool, True where attention is forbidden anyway; None lets all.
        present: (B, T) bool; None where all are there.

    Returns:
        (B, T, T), or ``blocked`` where all are there.
    """
    if present is None:
        return blocked
    hidden = ~present[:, None] & ~torch.eye(present.shape[1], dtype=torch.bool, device=present.device)
    return hidden if blocked is None else hidden | blocked


class LearnedQueries(nn.Module):
    """Element embeddings, and a linear map from query embeddings to reference points (MapTR, ICLR 2023, section 3.3).

    Args:
        grid: the BEV grid that the reference points are spread over.
        num_queries: Q.
        embed_dims: C.
        outputs: coordinates that one token gives: D of a point, or P D of an element.
        dims: D.
    """

    def __init__(self, grid: BEVGrid, num_queries: int, embed_dims: int, outputs: int, dims: int) -> None:
        super().__init__()
        self.grid, self.dims = grid, dims
        self.elements = nn.Embedding(num_queries, embed_dims)
        self.to_points = nn.Linear(embed_dims, outputs)

    def points(self, tokens: Tensor) -> Tensor:
        """(Q, P, D) ego metres inside the patch, from tokens (Q, P, C) or (Q, 1, C); a height begins near 0."""
        raw = self.to_points(tokens).reshape(len(tokens), -1, self.dims)
        return torch.cat([self.grid.ego_from_patch(raw[..., :2].sigmoid()), raw[..., 2:]], -1)
