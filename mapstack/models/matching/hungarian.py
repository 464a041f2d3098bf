"""One-to-one matching of predicted polylines to truth under permutation-equivalent cost (MapTR, section 3.3)."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from mapstack.registry import TASK_UTILS

from .targets import TargetBatch

__all__ = ["FORBIDDEN", "Assignment", "PolylineMatcher", "assign", "class_cost", "order_costs"]

FORBIDDEN = 1e6  # cost of a pair that must not be made; far above any sum of real costs


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


def assign(cost: Tensor, valid: Tensor, repeats: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Solve every frame's assignment; the costs come as one tensor, SciPy solves frame by frame.

    Args:
        cost: (B, Q, N); :data:`FORBIDDEN` where query and element must not be paired.
        valid: (B, N) bool, the real elements, which come first.
        repeats: queries that each element gets, as far as there are enough.

    Returns:
        Frame, query and element of the pairs, each (M,) int64.
    """
    frames, queries, elements = [], [], []
    costs, counts = cost.detach().cpu().double().numpy(), valid.sum(1).tolist()
    for frame, count in enumerate(counts):
        query, element = linear_sum_assignment(np.tile(costs[frame, :, :count], (1, repeats)))
        element = element % max(count, 1)
        made = costs[frame, query, element] < FORBIDDEN
        frames.append(np.full(made.sum(), frame))
        queries.append(query[made])
        elements.append(element[made])
    frame, query, element = (torch.from_numpy(np.concatenate(part)).long() for part in (frames, queries, elements))
    return frame.to(cost.device), query.to(cost.device), element.to(cost.device)


def class_cost(logits: Tensor, labels: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """What calling query q the class of element n would add to the focal loss.

    Args:
        logits: (B, Q, K).
        labels: (B, N) int64.
        alpha: focal balance.
        gamma: focal exponent.

    Returns:
        (B, Q, N).
    """
    prob = logits.sigmoid().clamp(1e-6, 1 - 1e-6)
    positive = -alpha * (1 - prob) ** gamma * prob.log()
    negative = -(1 - alpha) * prob**gamma * (1 - prob).log()
    return (positive - negative).gather(2, labels[:, None].expand(-1, logits.shape[1], -1))


@TASK_UTILS.register_module()
class PolylineMatcher(nn.Module):
    """Hungarian matching on a focal class cost and the point cost of the best order.

    The costs of a whole batch are one tensor expression on the device, with every order of every element in it;
    only the assignment itself is solved frame by frame, by SciPy.

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
    def forward(
        self, logits: Tensor, points: Tensor, target: TargetBatch, repeats: int = 1, present: Tensor | None = None
    ) -> Assignment:
        """Match (B, Q, C) logits and (B, Q, P, D) ego points to the truth; an empty frame matches nothing.

        ``repeats`` above 1 gives each element that many queries (the one-to-many branch of H-DETR and MapTRv2);
        ``present`` (B, Q) bool leaves out places that hold no query.
        """
        if target.valid.shape[1] == 0:
            empty = torch.zeros(0, dtype=torch.long, device=logits.device)
            return Assignment(empty, empty, empty, empty)
        distance, order = order_costs(points, target)
        kind = class_cost(logits, target.labels, self.alpha, self.gamma)
        cost = self.point_weight * distance + self.class_weight * kind
        if present is not None:
            cost = cost.masked_fill(~present[..., None], FORBIDDEN)
        frame, query, element = assign(cost, target.valid, repeats)
        return Assignment(frame, query, element, order[frame, query, element])
