"""What a decoder begins with: element and point queries, learned or proposed by the BEV."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mapstack.geometry import BEVGrid

__all__ = ["LearnedQueries", "Queries"]


@dataclass(frozen=True)
class Queries:
    """Q elements of each frame before the first layer.

    Args:
        points: (B, Q, P, D) ego metres.
        element: (B, Q, C) what is known of the element as a whole.
        labels: (B, Q) int64 class it was proposed as; None for learned queries, which have none.
    """

    points: Tensor
    element: Tensor
    labels: Tensor | None

    @classmethod
    def join(cls, parts: "list[Queries]") -> "Queries":
        """The queries of all parts, in order; labels where all have them."""
        labelled = all(part.labels is not None for part in parts)
        return cls(
            torch.cat([part.points for part in parts], 1),
            torch.cat([part.element for part in parts], 1),
            torch.cat([part.labels for part in parts], 1) if labelled else None,
        )


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
