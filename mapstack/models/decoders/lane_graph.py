"""Which centerline leads to which: the edges that make a set of centerlines a graph a planner can follow."""

import torch
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from mapstack.errors import ConfigError
from mapstack.models.matching import Assignment, TargetBatch

__all__ = ["LaneGraphHead", "true_successors"]

JOINT_M = 0.1  # ends nearer than this are one node: the map's own ends coincide to a millimetre


def true_successors(target: TargetBatch, lane_class: int) -> Tensor:
    """(B, N, N) bool: lane n ends where lane m begins; False for what is no lane."""
    given = target.points[:, :, 0]
    gap = (given[:, :, None, -1, :2] - given[:, None, :, 0, :2]).norm(dim=-1)  # (B, N, N)
    lane = target.valid & (target.labels == lane_class)
    same = torch.eye(lane.shape[1], dtype=torch.bool, device=lane.device)
    return (gap < JOINT_M) & lane[:, :, None] & lane[:, None] & ~same


class LaneGraphHead(nn.Module):
    """Edge logits from pairs of elements: what their tokens say, and how far the one's end is from the other's start.

    The distance enters through a learned falling-off, as in TopoLogic (NeurIPS 2024), the tokens as in TopoNet
    (arXiv 2304.05277): each element is embedded once as the one that leads and once as the one that follows.

    Args:
        embed_dims: C of the element tokens.
        lane_class: label of the centerlines.
        num_classes: K, to check ``lane_class`` against.
        weight: weight of the loss.
    """

    def __init__(self, embed_dims: int, lane_class: int, num_classes: int, weight: float = 1.0) -> None:
        super().__init__()
        if not 0 <= lane_class < num_classes:
            raise ConfigError(f"lane_class {lane_class} is no label of a model with {num_classes} classes")
        self.lane_class, self.weight = lane_class, weight
        self.lead = nn.Linear(embed_dims, embed_dims)
        self.follow = nn.Linear(embed_dims, embed_dims)
        self.edge = nn.Sequential(nn.ReLU(), nn.Linear(embed_dims, 1))
        self.near = nn.Parameter(torch.tensor([2.0, 2.0]))  # logit at distance 0, metres until it has fallen by that
        nn.init.constant_(self.edge[-1].bias, -3.0)  # most lanes do not meet

    def forward(self, elements: Tensor, points: Tensor) -> Tensor:
        """Logits (B, Q, Q), row leads to column, from element tokens (B, Q, C) and ego points (B, Q, P, D)."""
        pair = self.lead(elements)[:, :, None] + self.follow(elements)[:, None]  # (B, Q, Q, C)
        ends, starts = points[:, :, -1, :2].detach(), points[:, :, 0, :2].detach()
        gap = (ends[:, :, None] - starts[:, None]).square().sum(-1).add(1e-6).sqrt()
        top, reach = self.near.unbind()
        return self.edge(pair)[..., 0] + top * (1 - gap / reach.abs().clamp(min=0.1)).clamp(min=-1)

    def loss(self, logits: Tensor, target: TargetBatch, match: Assignment) -> Tensor:
        """Focal loss over all ordered pairs of lanes matched in one frame, by the number of true edges."""
        if len(match) == 0:
            return 0 * logits.sum()
        same = match.frame[:, None] == match.frame[None]  # (M, M)
        lane = target.labels[match.frame, match.element] == self.lane_class
        pairs = same & lane[:, None] & lane[None] & ~torch.eye(len(match), dtype=torch.bool, device=logits.device)
        first, second = pairs.nonzero(as_tuple=True)
        frame = match.frame[first]
        edges = true_successors(target, self.lane_class)[frame, match.element[first], match.element[second]]
        chosen = logits[frame, match.query[first], match.query[second]]
        total = sigmoid_focal_loss(chosen, edges.to(chosen.dtype), alpha=0.5, gamma=2.0, reduction="sum")
        return self.weight * total / edges.sum().clamp(min=1)

    def confidence(self, logits: Tensor, query: Tensor, labels: Tensor) -> Tensor:
        """(N, N) in [0, 1] of one frame's chosen predictions.

        Args:
            logits: (Q, Q).
            query: (N,) int64, the query of each prediction.
            labels: (N,) int64; edges of what is no lane, and of a query to itself, are 0.
        """
        lane = labels == self.lane_class
        allowed = lane[:, None] & lane[None] & (query[:, None] != query[None])
        return torch.where(allowed, logits.sigmoid()[query[:, None], query[None]], 0.0)
