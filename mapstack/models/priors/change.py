"""Which prior vectors the sensors contradict: a logit a vector."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapstack.geometry import BEVGrid
from mapstack.structures import PriorBatch

from .embedding import directions
from .encoder import VectorTokens

__all__ = ["ChangeHead"]

FIRST_LOGIT = -2.0  # most of a map still holds


class ChangeHead(nn.Module):
    """Compare each prior vector with the BEV map along it and beside it.

    At every point the map is read on the vector and ``beside_m`` to its left and right: a line that was moved lies
    beside the evidence, one that is gone has none. What a point sees goes through a small network; mean and maximum
    over the points tell what becomes of the vector, beside the mean over all vectors of the frame: of a map of another
    place, or of one of which nothing holds, a vector that seems to fit does so by chance. ``1 - sigmoid(logit)`` is
    also the trust by which everything else that the vector says is scaled, so the gate learns from the map's losses,
    too.

    Args:
        grid: of the BEV map.
        in_channels: C of the BEV map.
        embed_dims: C of the vectors' tokens.
        beside_m: distances to the side at which the map is read.
        hidden: width of the network.
    """

    def __init__(
        self,
        grid: BEVGrid,
        in_channels: int,
        embed_dims: int,
        beside_m: tuple[float, ...] = (-3.0, -1.5, -0.6, 0.0, 0.6, 1.5, 3.0),
        hidden: int = 64,
    ) -> None:
        super().__init__()
        self.grid = grid
        self.register_buffer("beside", torch.tensor(beside_m), persistent=False)
        self.narrow = nn.Conv2d(in_channels, hidden // 4, 1)
        self.point = nn.Sequential(
            nn.Linear(len(beside_m) * (hidden // 4) + embed_dims, hidden), nn.ReLU(), nn.Linear(hidden, hidden)
        )
        self.vector = nn.Sequential(nn.Linear(2 * hidden + embed_dims, hidden), nn.ReLU())
        self.verdict = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        nn.init.constant_(self.verdict[-1].bias, FIRST_LOGIT)

    def forward(self, bev: Tensor, vectors: PriorBatch, tokens: VectorTokens) -> Tensor:
        """(B, N) logits of being contradicted; meaningless on padding."""
        along = directions(vectors.points)
        normal = torch.stack([-along[..., 1], along[..., 0]], -1)
        places = vectors.points[..., None, :] + normal[..., None, :] * self.beside[:, None]  # (B, N, P, sides, 2)
        at = (self.grid.patch_from_ego(places) * 2 - 1).flatten(1, 2)
        seen = F.grid_sample(self.narrow(bev), at, align_corners=False)  # (B, h, N P, sides)
        seen = seen.permute(0, 2, 3, 1).flatten(2).unflatten(1, vectors.points.shape[1:3])
        own = tokens.elements[:, :, None].expand(-1, -1, seen.shape[2], -1) if tokens.points is None else tokens.points
        points = self.point(torch.cat([seen, own], -1))
        pooled = torch.cat([points.mean(2), points.amax(2), tokens.elements], -1)
        each = self.vector(pooled)
        there = vectors.valid[..., None].to(each.dtype)
        whole = (each * there).sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp(min=1.0)
        return self.verdict(torch.cat([each, whole.expand_as(each)], -1))[..., 0]
