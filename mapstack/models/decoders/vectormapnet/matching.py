"""Which query answers for which element, by class and keypoints."""

import torch
from torch import Tensor, nn

from mapstack.models.matching import Assignment, TargetBatch, assign, class_cost, order_costs
from mapstack.registry import TASK_UTILS

__all__ = ["KeypointMatcher"]


@TASK_UTILS.register_module()
class KeypointMatcher(nn.Module):
    """Hungarian matching on a focal class cost, the distance of the keypoints and, for boxes, their overlap.

    Args:
        class_weight: weight of the focal cost.
        point_weight: weight of the mean L1 distance of the keypoints in metres.
        overlap_weight: weight of the generalised IoU of bounding boxes; other keypoints have none.
        thickness_m: a box narrower than this is widened to it before its overlap is measured.
    """

    def __init__(
        self,
        class_weight: float = 2.0,
        point_weight: float = 0.7,
        overlap_weight: float = 1.0,
        thickness_m: float = 1.2,
    ) -> None:
        super().__init__()
        self.class_weight, self.point_weight = class_weight, point_weight
        self.overlap_weight, self.thickness_m = overlap_weight, thickness_m

    def costs(self, logits: Tensor, points: Tensor, target: TargetBatch) -> Tensor:
        """(B, Q, N) of (B, Q, K) logits and (B, Q, k, 2) ego keypoints."""
        cost = self.class_weight * class_cost(logits, target.labels)
        cost = cost + self.point_weight * order_costs(points, target)[0]
        if points.shape[2] == 2:
            cost = cost - self.overlap_weight * self._overlap(points, target.points[:, :, 0])
        return cost

    def _overlap(self, points: Tensor, truth: Tensor) -> Tensor:
        """Generalised IoU of every predicted box with every true box of its frame."""
        (low, high), (true_low, true_high) = self._widened(points), self._widened(truth)
        low, high, true_low, true_high = low[:, :, None], high[:, :, None], true_low[:, None], true_high[:, None]
        shared = (torch.minimum(high, true_high) - torch.maximum(low, true_low)).clamp(min=0).prod(-1)
        hull = (torch.maximum(high, true_high) - torch.minimum(low, true_low)).prod(-1)
        union = (high - low).prod(-1) + (true_high - true_low).prod(-1) - shared
        return shared / union - (hull - union) / hull

    def _widened(self, points: Tensor) -> tuple[Tensor, Tensor]:
        low, high = points.amin(2), points.amax(2)
        middle, half = (low + high) / 2, ((high - low) / 2).clamp(min=self.thickness_m / 2)
        return middle - half, middle + half

    @torch.no_grad()
    def forward(self, logits: Tensor, points: Tensor, target: TargetBatch) -> Assignment:
        """Match the queries to the truth; an empty frame matches nothing."""
        if target.valid.shape[1] == 0:
            empty = torch.zeros(0, dtype=torch.long, device=logits.device)
            return Assignment(empty, empty, empty, empty)
        frame, query, element = assign(self.costs(logits, points, target), target.valid)
        return Assignment(frame, query, element, torch.zeros_like(frame))
