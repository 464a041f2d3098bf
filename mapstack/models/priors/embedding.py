"""What a token knows of its point, and a head token of its vector, before any attention."""

import torch
from torch import Tensor, nn

from mapstack.models.decoders.position import PointEmbedding
from mapstack.structures import PriorBatch
from mapstack.structures.prior_map import PRIOR_CLASSES, PRIOR_SOURCES, PRIOR_TAGS

__all__ = ["VectorEmbedding", "directions"]

SHORTEST_M = 0.01  # an edge shorter than this has no direction


def directions(points: Tensor) -> Tensor:
    """(..., P, 2) unit vectors along each point's outgoing edge (the last one's incoming); 0 where it has no length."""
    edges = points.diff(dim=-2)
    edges = torch.cat([edges, edges[..., -1:, :]], -2)
    length = edges.norm(dim=-1, keepdim=True)
    return torch.where(length > SHORTEST_M, edges / length.clamp(min=SHORTEST_M), torch.zeros_like(edges))


class VectorEmbedding(nn.Module):
    """The hybrid embedding of PriorDrive (AAAI 2026, section 3.2): a sum of what is known, and a head token a vector.

    A point is its place (Fourier features in metres), its direction (the unit vector and its double angle, which are
    the first two circular harmonics), its class, source and confidence, and its position in the vector. The released
    code embeds place, class and position only.

    Left out is the released code's embedding of the vector's number among the priors: the order in which a map lists
    its vectors means nothing, and which points belong together is told by the attention within.

    Args:
        embed_dims: C.
        num_points: P.
    """

    def __init__(self, embed_dims: int, num_points: int) -> None:
        super().__init__()
        self.place = PointEmbedding(embed_dims)
        self.direction = nn.Linear(4, embed_dims, bias=False)
        self.label = nn.Embedding(len(PRIOR_CLASSES), embed_dims)
        self.source = nn.Embedding(len(PRIOR_SOURCES), embed_dims)
        self.tags = nn.Linear(1 + len(PRIOR_TAGS), embed_dims, bias=False)
        self.position = nn.Embedding(num_points, embed_dims)
        self.head = nn.Parameter(torch.randn(embed_dims))
        self.masked = nn.Parameter(torch.randn(embed_dims))  # in place of what a hidden point's coordinates would say

    def forward(self, vectors: PriorBatch, hidden: Tensor | None = None) -> Tensor:
        """Embed the vectors.

        Args:
            vectors: of the maps.
            hidden: (B, N, P) bool, points whose coordinates the model must not see; None shows all.

        Returns:
            (B, N, 1 + P, C): the head token, then the points.
        """
        points = vectors.points
        if points.shape[2] != self.position.num_embeddings:
            raise ValueError(
                f"prior vectors have {points.shape[2]} points, the encoder takes {self.position.num_embeddings}; "
                f"set num_points alike in LoadPriors and in the model"
            )
        x, y = directions(points).unbind(-1)
        heading = self.direction(torch.stack([x, y, x * x - y * y, 2 * x * y], -1))
        place = self.place(points)
        if hidden is not None:
            at_ends = hidden.clone()  # an edge tells its end points away
            at_ends[..., :-1] |= hidden[..., 1:]
            at_ends[..., -1] |= hidden[..., -2]
            heading = torch.where(at_ends[..., None], torch.zeros_like(heading), heading)
            place = torch.where(hidden[..., None], self.masked.expand_as(place), place)
        about = (
            self.label(vectors.labels)
            + self.source(vectors.sources)
            + self.tags(torch.cat([vectors.confidence[..., None], vectors.tags], -1))
        )
        head = (about + self.head)[:, :, None]
        return torch.cat([head, place + heading + self.position.weight + about[:, :, None]], 2)
