"""Noised truth as extra training queries (DN-DETR, CVPR 2022), so that refinement learns before proposals are good."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapstack.geometry import BEVGrid
from mapstack.models.matching import Assignment, TargetBatch

__all__ = ["DenoisingQueries", "NoisedQueries", "separate"]


@dataclass(frozen=True)
class NoisedQueries:
    """Queries made from noised truth.

    Args:
        points: (B, G N, P, D) ego metres.
        feats: (B, G N, C) BEV features at the noised middles.
        labels: (B, G N) int64, some of them wrong on purpose.
        assignment: which element each came from, in its given point order.
        num_groups: G; queries of one group see each other and nothing else.
    """

    points: Tensor
    feats: Tensor
    labels: Tensor
    assignment: Assignment
    num_groups: int

    def groups(self) -> Tensor:
        """(G N,) int64, the group of each query."""
        noised = self.points.shape[1]
        return torch.arange(noised, device=self.points.device) // max(noised // self.num_groups, 1)


def separate(groups: Tensor) -> Tensor:
    """(T, T) bool from (T,) group numbers: True where attention between elements is forbidden."""
    return groups[:, None] != groups


class DenoisingQueries(nn.Module):
    """Shift, turn and jitter each true element, and flip some labels.

    Args:
        grid: the BEV grid of the features sampled.
        num_classes: K.
        num_groups: noised copies of each element.
        shift_m: standard deviation of an element's shift.
        turn_rad: standard deviation of an element's turn about its middle.
        jitter_m: standard deviation of each point's own noise.
        flip_prob: share of wrong labels.
    """

    def __init__(
        self,
        grid: BEVGrid,
        num_classes: int,
        num_groups: int = 2,
        shift_m: float = 1.0,
        turn_rad: float = 0.05,
        jitter_m: float = 0.3,
        flip_prob: float = 0.2,
    ) -> None:
        super().__init__()
        self.grid, self.num_classes, self.num_groups = grid, num_classes, num_groups
        self.shift_m, self.turn_rad, self.jitter_m, self.flip_prob = shift_m, turn_rad, jitter_m, flip_prob

    def forward(self, target: TargetBatch, feats: Tensor) -> NoisedQueries:
        """Make G noised copies of each of the N (padded) elements; ``feats`` is (B, C, h, w) over the patch."""
        clean = target.points[:, :, 0].repeat(1, self.num_groups, 1, 1)  # (B, G N, P, 2)
        middle = target.midpoints().repeat(1, self.num_groups, 1)[:, :, None]
        batch, count = clean.shape[:2]
        angle = torch.randn(batch, count, 1, device=clean.device) * self.turn_rad
        cos, sin = angle.cos(), angle.sin()
        x, y = (clean[..., :2] - middle).unbind(-1)
        turned = torch.stack([cos * x - sin * y, sin * x + cos * y], -1) + middle
        shift = torch.randn(batch, count, 1, 2, device=clean.device) * self.shift_m
        # A height, where there is one, is jittered alone.
        points = torch.cat([turned + shift, clean[..., 2:]], -1) + torch.randn_like(clean) * self.jitter_m
        labels = target.labels.repeat(1, self.num_groups)
        wrong = torch.rand(batch, count, device=clean.device) < self.flip_prob
        labels = torch.where(wrong, torch.randint_like(labels, self.num_classes), labels)
        at = self.grid.patch_from_ego(middle + shift) * 2 - 1  # (B, G N, 1, 2)
        sampled = F.grid_sample(feats, at, align_corners=False)[..., 0].transpose(1, 2)
        frame, query = target.valid.repeat(1, self.num_groups).nonzero(as_tuple=True)
        element = query % target.valid.shape[1]
        return NoisedQueries(
            points, sampled, labels, Assignment(frame, query, element, torch.zeros_like(frame)), self.num_groups
        )
