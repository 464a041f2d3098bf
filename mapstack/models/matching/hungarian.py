"""One-to-one matching of predicted polylines to truth under permutation-equivalent cost (MapTR, section 3.3)."""

from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from mapstack.registry import TASK_UTILS

from .targets import TargetBatch

__all__ = ["Assignment", "PolylineMatcher", "order_costs"]


@dataclass(frozen=True)
class Assignment:
    """M matched pairs, each a row of four index vectors (M,) int64: frame, query, element, point order."""

    frame: Tensor
    query: Tensor
    element: Tensor
    order: Tensor

    def __len__(self) -> int:
        return len(self.frame)


def order_costs(points: Tensor, target: TargetBatch) -> tuple[Tensor, Tensor]:
    """Distance of every prediction to every element under its best point order.

    Args:
        points: (B, Q, P, D) ego metres.
        target: truth with the same P and D.

    Returns:
        Mean over points of the L1 distance in metres (B, Q, N), and the order that reaches it (B, Q, N).
    """
    batch, num_elements, num_orders, num_points, _ = target.points.shape
    flat = target.points.flatten(3).flatten(1, 2)  # (B, N K, P D)
    cost = torch.cdist(points.flatten(2), flat, p=1) / num_points
    return cost.view(batch, points.shape[1], num_elements, num_orders).min(-1)


@TASK_UTILS.register_module()
class PolylineMatcher(nn.Module):
    """Hungarian matching on a focal class cost and the point cost of the best order.

    The costs of a whole batch are one tensor expression on the device; only the assignment itself is solved
    frame by frame, by SciPy.

    Args:
        class_weight: weight of the focal cost.
        point_weight: weight of the mean L1 distance in metres.
        alpha: focal balance.
        gamma: focal exponent.
    """

    def __init__(
        self, class_weight: float = 2.0, point_weight: float = 1.0, alpha: float = 0.25, gamma: float = 2.0
    ) -> None:
        super().__init__()
        self.class_weight, self.point_weight, self.alpha, self.gamma = class_weight, point_weight, alpha, gamma

    @torch.no_grad()
    def forward(self, logits: Tensor, points: Tensor, target: TargetBatch) -> Assignment:
        """Match (B, Q, C) logits and (B, Q, P, D) ego points to the truth; an empty frame matches nothing."""
        batch, num_elements = target.valid.shape
        empty = torch.zeros(0, dtype=torch.long, device=logits.device)
        if num_elements == 0:
            return Assignment(empty, empty, empty, empty)
        distance, order = order_costs(points, target)
        cost = self.point_weight * distance + self.class_weight * self._class_cost(logits, target.labels)
        frames, queries, elements = [], [], []
        costs, counts = cost.cpu().double().numpy(), target.valid.sum(1).tolist()
        for frame in range(batch):
            query, element = linear_sum_assignment(costs[frame, :, : counts[frame]])
            queries.append(torch.from_numpy(query))
            elements.append(torch.from_numpy(element))
            frames.append(torch.full((len(query),), frame))
        frame, query, element = (torch.cat(part).to(logits.device) for part in (frames, queries, elements))
        return Assignment(frame, query, element, order[frame, query, element])

    def _class_cost(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(B, Q, N): what calling query q the class of element n would add to the focal loss."""
        prob = logits.sigmoid().clamp(1e-6, 1 - 1e-6)
        positive = -self.alpha * (1 - prob) ** self.gamma * prob.log()
        negative = -(1 - self.alpha) * prob**self.gamma * (1 - prob).log()
        return (positive - negative).gather(2, labels[:, None].expand(-1, logits.shape[1], -1))
