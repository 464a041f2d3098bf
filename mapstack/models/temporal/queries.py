"""Queries carried from frame to frame (StreamMapNet, WACV 2024, section 3.3): for decoders that stream."""

import torch
from torch import Tensor, nn

from .stream import Past
from .warp import move_points

__all__ = ["QueryPropagation"]


class QueryPropagation(nn.Module):
    """Keeps a frame's best queries and moves them, points and features, into the next frame.

    Args:
        embed_dims: C of a query's features.
        num_kept: K queries carried on.
        num_points: P points a query.
        num_classes: number of classes.
    """

    def __init__(self, embed_dims: int, num_kept: int, num_points: int, num_classes: int) -> None:
        super().__init__()
        self.num_kept, self.num_points, self.num_classes = num_kept, num_points, num_classes
        self.update = nn.Sequential(nn.Linear(embed_dims + 6, embed_dims), nn.ReLU(), nn.Linear(embed_dims, embed_dims))
        nn.init.zeros_(self.update[-1].weight)
        nn.init.zeros_(self.update[-1].bias)
        self.embed_dims = embed_dims

    def initial_memory(self, like: Tensor) -> dict[str, Tensor]:
        """One row of what a frame without past starts from; type and device are those of ``like``."""
        kept = self.num_kept
        return {
            "query_feats": like.new_zeros(1, kept, self.embed_dims),
            "query_points": like.new_zeros(1, kept, self.num_points, 2),
            "query_scores": like.new_zeros(1, kept, self.num_classes),
        }

    def keep(self, logits: Tensor, points: Tensor, feats: Tensor) -> dict[str, Tensor]:
        """The K best of Q queries, best first, to remember.

        Args:
            logits: (B, Q, number of classes).
            points: (B, Q, P, 2) ego metres.
            feats: (B, Q, C).
        """
        scores = logits.sigmoid()
        best = scores.amax(2).topk(self.num_kept, dim=1).indices[..., None]  # (B, K, 1)
        return {
            "query_feats": feats.gather(1, best.expand(-1, -1, feats.shape[2])),
            "query_points": points.flatten(2).gather(1, best.expand(-1, -1, 2 * self.num_points)).unflatten(2, (-1, 2)),
            "query_scores": scores.gather(1, best.expand(-1, -1, self.num_classes)),
        }

    def forward(self, past: Past) -> tuple[Tensor, Tensor, Tensor]:
        """Bring what was remembered into the current frame.

        Returns:
            Features (B, K, C), points (B, K, P, 2) current ego metres, and scores (B, K, number of classes), which are
            zero for a frame without past.
        """
        valid = past.valid[:, None, None]
        feats, scores = past.tensors["query_feats"], past.tensors["query_scores"]
        points = move_points(past.tensors["query_points"], past.previous_from_current)
        motion = past.previous_from_current.to(feats.dtype)
        # Of tens of metres make about one.
        motion = torch.cat([motion[:, :2, :2].flatten(1), 0.1 * motion[:, :2, 3]], 1)  # (B, 6)
        motion = motion[:, None].expand(-1, self.num_kept, -1)
        feats = feats + self.update(torch.cat([feats, motion], -1))
        feats, scores = (torch.where(valid, value, torch.zeros_like(value)) for value in (feats, scores))
        return feats, torch.where(valid[..., None], points, torch.zeros_like(points)), scores
