"""Map elements as keypoints with a class: the first half of VectorMapNet (ICML 2023, section 3.2)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mapstack.geometry import BEVGrid
from mapstack.models.decoders.deformable import BEVDeformableAttention
from mapstack.models.decoders.position import PointEmbedding
from mapstack.models.decoders.proposals import BEVProposals, Proposals
from mapstack.models.losses import class_loss, point_loss
from mapstack.models.matching import Assignment, TargetBatch

__all__ = ["ElementDetector", "Elements"]

OFFSET_M = 2.0  # what an output of 1 moves a keypoint by


@dataclass(frozen=True)
class Elements:
    """What one decoder layer says.

    Args:
        logits: (B, Q, K).
        keypoints: (B, Q, k, 2) ego metres.
    """

    logits: Tensor
    keypoints: Tensor


class _Layer(nn.Module):
    """Attention among all keypoints of all elements, then to the BEV around each; then a feed-forward block."""

    def __init__(self, grid: BEVGrid, embed_dims: int, num_heads: int, num_samples: int) -> None:
        super().__init__()
        self.among = nn.MultiheadAttention(embed_dims, num_heads, batch_first=True)
        self.to_bev = BEVDeformableAttention(grid, embed_dims, num_heads, num_samples)
        self.feed_forward = nn.Sequential(
            nn.Linear(embed_dims, 2 * embed_dims), nn.ReLU(), nn.Linear(2 * embed_dims, embed_dims)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(embed_dims) for _ in range(3))

    def forward(self, x: Tensor, position: Tensor, reference: Tensor, value: Tensor) -> Tensor:
        """Update (B, Q, k, C) tokens."""
        tokens = (self.norms[0](x) + position).flatten(1, 2)
        x = x + self.among(tokens, tokens, tokens, need_weights=False)[0].unflatten(1, x.shape[1:3])
        x = x + self.to_bev(self.norms[1](x) + position, reference, value)
        return x + self.feed_forward(self.norms[2](x))


class ElementDetector(nn.Module):
    """Element queries with a slot for each keypoint.

    A query's content is learned, or taken from a BEV cell that proposes an element (Deformable DETR, section 4.2): the
    paper learns them, which takes tens of epochs. Keypoints are refined layer by layer; the released code predicts
    them anew in every layer.

    Args:
        grid: the BEV grid of the features.
        in_channels: C of the BEV features.
        num_classes: K.
        num_keypoints: k.
        num_queries: Q.
        embed_dims: width.
        num_layers: refinement layers.
        num_heads: attention heads.
        num_samples: BEV samples per head and keypoint.
        propose: take the queries from BEV cells.
    """

    def __init__(
        self,
        grid: BEVGrid,
        in_channels: int,
        num_classes: int,
        num_keypoints: int,
        num_queries: int,
        embed_dims: int,
        num_layers: int,
        num_heads: int,
        num_samples: int,
        propose: bool,
    ) -> None:
        super().__init__()
        self.num_classes, self.num_queries = num_classes, num_queries
        if propose:
            self.proposals = BEVProposals(grid, in_channels, num_classes, num_keypoints, embed_dims)
            self.class_embed = nn.Embedding(num_classes, embed_dims)
        else:
            self.proposals = None
            self.element_embed = nn.Embedding(num_queries, embed_dims)
            low, size = torch.tensor(grid.pc_range[:2]), torch.tensor(grid.size_m)
            self.reference = nn.Parameter(low + size * torch.rand(num_queries, num_keypoints, 2))
        self.slot_embed = nn.Embedding(num_keypoints, embed_dims)
        self.position = PointEmbedding(embed_dims)
        self.layers = nn.ModuleList(_Layer(grid, embed_dims, num_heads, num_samples) for _ in range(num_layers))
        self.refine = nn.ModuleList(self._head(embed_dims, 2) for _ in range(num_layers))
        self.classify = nn.ModuleList(self._head(num_keypoints * embed_dims, num_classes) for _ in range(num_layers))
        for head in self.refine:
            nn.init.zeros_(head[-1].weight)
            nn.init.zeros_(head[-1].bias)
        for head in self.classify:
            nn.init.constant_(head[-1].bias, -3.0)

    @staticmethod
    def _head(width: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs))

    def forward(self, bev: Tensor, value: Tensor) -> tuple[list[Elements], Proposals | None]:
        """Detect.

        Args:
            bev: (B, C, rows, cols), what proposals come from.
            value: (B, E, rows, cols), what the layers look at.

        Returns:
            What each layer says, and the proposals where there are some.
        """
        proposals = self.proposals(bev) if self.proposals is not None else None
        if proposals is not None:
            points, content, labels = self.proposals.select(proposals, self.num_queries)
            content = content + self.class_embed(labels)
        else:
            points = self.reference.expand(bev.shape[0], -1, -1, -1)
            content = self.element_embed.weight.expand(bev.shape[0], -1, -1)
        x = content[:, :, None] + self.slot_embed.weight  # (B, Q, k, E)
        outputs = []
        for i, layer in enumerate(self.layers):
            # The first reference learns through the refinement where it is itself a parameter.
            reference = points if proposals is None and i == 0 else points.detach()
            x = layer(x, self.position(reference), reference, value)
            points = reference + self.refine[i](x) * OFFSET_M
            outputs.append(Elements(self.classify[i](x.flatten(2)), points))
        return outputs, proposals

    def loss(self, elements: Elements, match: Assignment, target: TargetBatch) -> dict[str, Tensor]:
        """Unweighted ``class`` and ``keypoint`` losses of one layer's elements, matched to the truth."""
        logits = elements.logits
        labels = torch.full(logits.shape[:2], self.num_classes, device=logits.device)
        labels[match.frame, match.query] = target.labels[match.frame, match.element]
        found = elements.keypoints[match.frame, match.query]
        true = target.points[match.frame, match.element, match.order]
        return {
            "class": class_loss(logits, labels, target.num_elements),
            "keypoint": point_loss(found, true, target.num_elements),
        }
