"""HPQuery: prior vectors as decoder queries, added to the decoder's own, in their place, or beside them."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapstack.errors import ConfigError
from mapstack.models.decoders.queries import Queries
from mapstack.structures import PriorBatch

from .encoder import VectorTokens

__all__ = ["HPQuery", "PriorQueries", "resampled"]

OPERATORS = ("concatenate", "replace", "add")
REFERENCES = ("prior", "own")


def resampled(values: Tensor, num_points: int) -> Tensor:
    """(..., P, C) to (..., num_points, C) by linear interpolation along P; prior points are evenly spaced already."""
    if values.shape[-2] == num_points:
        return values
    lead = values.shape[:-2]
    rows = values.reshape(-1, *values.shape[-2:]).transpose(1, 2)
    rows = F.interpolate(rows, num_points, mode="linear", align_corners=True)
    return rows.transpose(1, 2).reshape(*lead, num_points, -1)


@dataclass(frozen=True)
class PriorQueries:
    """K prior vectors of each frame on their way into a decoder; :meth:`join` is all that a decoder calls.

    Args:
        points: (B, K, P, 2) ego metres.
        element: (B, K, C) what the encoder says of the vector.
        point_feats: (B, K, P, C) what it says of each point.
        labels: (B, K) int64 class, the decoder's number of classes where the vector is of none of them.
        valid: (B, K) bool.
        operator: of :data:`OPERATORS`.
        reference: "prior" lets a query begin at the vector's points, "own" at the decoder's own.
    """

    points: Tensor
    element: Tensor
    point_feats: Tensor
    labels: Tensor
    valid: Tensor
    operator: str
    reference: str

    def rows(self, index: list[int]) -> "PriorQueries":
        """Those of some frames of the batch."""
        names = ("points", "element", "point_feats", "labels", "valid")
        return replace(self, **{name: getattr(self, name)[index] for name in names})

    def join(self, own: Queries, context: Tensor) -> Queries:
        """The decoder's queries with the priors among them.

        The last K queries are those replaced or added to: of queries proposed hottest first, the least sure ones.

        Args:
            own: (B, Q) queries, Q >= K unless they are concatenated.
            context: (B, K, C) what the decoder itself knows at the vectors: it begins a query as the decoder's own.
        """
        num_points, dims = own.points.shape[2:]
        points = F.pad(resampled(self.points, num_points), (0, dims - 2))
        feats = resampled(self.point_feats, num_points)
        labels = None if own.labels is None else self.labels
        if self.operator == "concatenate":
            return Queries.join([own, Queries(points, context + self.element, labels, self.valid, feats)])
        first = own.points.shape[1] - self.points.shape[1]
        if first < 0:
            raise ConfigError(
                f"{self.points.shape[1]} priors cannot {self.operator} {own.points.shape[1]} queries; lower max_queries"
            )
        kept, last = own.split(first)
        element = last.element if self.operator == "add" else context
        if self.reference == "own":
            points, labels = last.points, last.labels
        there = self.valid[..., None]
        changed = Queries(
            points=torch.where(there[..., None], points, last.points),
            element=torch.where(there, element + self.element, last.element),
            labels=None if labels is None else torch.where(self.valid, labels, last.labels),
            point_feats=torch.where(there[..., None], feats, torch.zeros_like(feats)),
        )
        return Queries.join([kept, changed])


class HPQuery(nn.Module):
    """Choose the vectors that become queries, and bring their tokens to the decoder's width (PriorDrive, section 3.4).

    Published are the operators at the level of elements and points; the released code replaces, keeps its learned
    reference points (``reference="own"`` here), and shifts the contents of the queries against their positions. Ours
    begins at the prior's coordinates, where refinement has little left to do if the map is right.

    What the tokens add begins at zero, so that a decoder that has learned to refine noised truth takes a prior vector,
    before any training, for just that.

    Args:
        embed_dims: C of the tokens.
        decoder_dims: C of the decoder.
        num_classes: of the decoder. Prior classes below it are the decoder's own, in its order.
        labels: classes of priors that become queries; None takes all. A road's centre line is no element of a map of
            lanes: as a query it has no class and must be moved by half a road.
        sources: kinds of maps that become queries; None takes all.
        max_queries: K; the first K vectors of a frame that qualify, and :func:`batch_priors` puts no order on them.
        operator: "concatenate", "replace" or "add".
        reference: "prior" or "own".
    """

    def __init__(
        self,
        embed_dims: int,
        decoder_dims: int,
        num_classes: int,
        labels: tuple[int, ...] | None = None,
        sources: tuple[int, ...] | None = None,
        max_queries: int = 30,
        operator: str = "concatenate",
        reference: str = "prior",
    ) -> None:
        super().__init__()
        if operator not in OPERATORS or reference not in REFERENCES:
            raise ConfigError(f"operator must be one of {OPERATORS} and reference one of {REFERENCES}")
        if operator == "concatenate" and reference == "own":
            raise ConfigError(
                "a query beside the decoder's own has no reference but the prior's; set reference='prior'"
            )
        self.num_classes, self.max_queries, self.operator, self.reference = (
            num_classes,
            max_queries,
            operator,
            reference,
        )
        self.labels, self.sources = labels, sources
        self.element = nn.Linear(embed_dims, decoder_dims)
        self.point = nn.Linear(embed_dims, decoder_dims)
        for layer in (self.element, self.point):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, vectors: PriorBatch, tokens: VectorTokens, trust: Tensor) -> PriorQueries:
        """Queries of (B, N) vectors; ``trust`` (B, N) in [0, 1] scales what the tokens add."""
        qualified = vectors.valid & is_one_of(vectors.labels, self.labels) & is_one_of(vectors.sources, self.sources)
        count = self.max_queries
        # The first that qualify, filled up with padding: K is then the same for any number of vectors.
        order = torch.arange(vectors.points.shape[1], device=trust.device).to(trust.dtype)
        rank = F.pad(torch.where(qualified, -order, order.new_tensor(-1e6)), (0, count), value=-2e6)
        index = rank.topk(count, dim=1).indices  # (B, K)

        def take(values: Tensor) -> Tensor:
            padded = torch.cat([values, values.new_zeros(values.shape[0], count, *values.shape[2:])], 1)
            where = index.view(*index.shape, *[1] * (values.ndim - 2)).expand(-1, -1, *values.shape[2:])
            return padded.gather(1, where)

        points = (
            tokens.elements[:, :, None].expand(*vectors.points.shape[:3], -1)
            if tokens.points is None
            else tokens.points
        )
        weight = take(trust)[..., None]
        labels = take(vectors.labels)
        return PriorQueries(
            points=take(vectors.points),
            element=weight * self.element(take(tokens.elements)),
            point_feats=weight[..., None] * self.point(take(points)),
            labels=torch.where(labels < self.num_classes, labels, torch.full_like(labels, self.num_classes)),
            valid=take(qualified),
            operator=self.operator,
            reference=self.reference,
        )


def is_one_of(values: Tensor, wanted: tuple[int, ...] | None) -> Tensor:
    """Elementwise membership, as comparisons that export; None holds everything."""
    if wanted is None:
        return torch.ones_like(values, dtype=torch.bool)
    found = torch.zeros_like(values, dtype=torch.bool)
    for value in wanted:
        found = found | (values == value)
    return found
