"""Matching of a sequence of predicted points to a shorter one of pivots, in order (PivotNet, ICCV 2023, section 3.4).

The first predicted point is the first pivot, the last the last; between them pivots take points of growing number,
so that the sum of distances is smallest: dynamic programming, one step a pivot, for all pairs at once.
"""

import torch
from torch import Tensor

__all__ = ["END_WEIGHT", "interpolated_targets", "sequence_costs", "sequence_slots"]

END_WEIGHT = 5  # how often an end counts besides its own time


def _accumulate(cost: Tensor) -> tuple[Tensor, Tensor]:
    """Run the recursion over (..., V, P) distances.

    Returns:
        (..., V, P): the least sum over pivots 0 to v with pivot v at point p, infinite where there is none; and the
        point (..., V, P) at which pivot v - 1 then lies.
    """
    reach = torch.full_like(cost[..., 0, :], torch.inf)
    reach[..., 0] = cost[..., 0, 0]
    reaches, pointers = [reach], [torch.zeros_like(reach, dtype=torch.long)]
    for pivot in range(1, cost.shape[-2]):
        best, at = reach.cummin(-1)
        before = torch.full_like(best[..., :1], torch.inf)
        reach = cost[..., pivot, :] + torch.cat([before, best[..., :-1]], -1)
        reaches.append(reach)
        pointers.append(torch.cat([torch.zeros_like(at[..., :1]), at[..., :-1]], -1))
    return torch.stack(reaches, -2), torch.stack(pointers, -2)


def _distances(points: Tensor, pivots: Tensor) -> Tensor:
    """(..., V, P) L1 metres between pivots (..., V, 2) and points (..., P, 2)."""
    return (pivots[..., :, None, :] - points[..., None, :, :]).abs().sum(-1)


@torch.no_grad()
def sequence_costs(points: Tensor, pivots: Tensor, counts: Tensor) -> Tensor:
    """Distance of every prediction to every element along the best monotone match, ends counted six times.

    Args:
        points: (B, Q, P, 2) ego metres.
        pivots: (B, N, V, 2) ego metres.
        counts: (B, N) int64, at least 2 and at most P.

    Returns:
        (B, Q, N) metres, weighted mean over the pivots.
    """
    cost = _distances(points[:, :, None], pivots[:, None])  # (B, Q, N, V, P)
    last = (counts - 1)[:, None, :, None, None].expand(*cost.shape[:3], 1, cost.shape[-1])
    total = _accumulate(cost)[0].gather(-2, last)[..., 0, -1]
    ends = cost[..., 0, 0] + cost.gather(-2, last)[..., 0, -1]
    return (total + END_WEIGHT * ends) / (counts[:, None] + 2 * END_WEIGHT)


@torch.no_grad()
def sequence_slots(points: Tensor, pivots: Tensor, counts: Tensor) -> Tensor:
    """The point that each pivot takes in the best match.

    Args:
        points: (M, P, 2) ego metres.
        pivots: (M, V, 2) ego metres, in pairs with ``points``.
        counts: (M,) int64.

    Returns:
        (M, V) int64, rising; P - 1 from the last pivot on.
    """
    pointers = _accumulate(_distances(points, pivots))[1]  # (M, V, P)
    num_pivots, num_points = pointers.shape[1:]
    slot = torch.full_like(counts, num_points - 1)
    slots = [slot]
    for pivot in range(num_pivots - 1, 0, -1):
        before = pointers[:, pivot].gather(1, slot[:, None])[:, 0]
        slot = torch.where(pivot < counts, before, slot)
        slots.append(slot)
    return torch.stack(slots[::-1], 1)


def interpolated_targets(slots: Tensor, pivots: Tensor, counts: Tensor, num_points: int) -> tuple[Tensor, Tensor]:
    """Where every predicted point belongs: on its pivot, or evenly between the two that it lies between.

    Args:
        slots: (M, V) of :func:`sequence_slots`.
        pivots: (M, V, 2) ego metres.
        counts: (M,) int64.
        num_points: P.

    Returns:
        Targets (M, P, 2) ego metres, and (M, P) bool, True where a pivot is.
    """
    number = torch.arange(num_points, device=slots.device)
    real = torch.arange(slots.shape[1], device=slots.device) < counts[:, None]  # (M, V)
    reached = (slots[:, None] <= number[:, None]) & real[:, None]  # (M, P, V)
    first = (reached.sum(-1) - 1).clamp(min=0)
    second = torch.minimum(first + 1, counts[:, None] - 1)
    begin, end = slots.gather(1, first), slots.gather(1, second)
    share = ((number - begin) / (end - begin).clamp(min=1))[..., None]
    start, stop = (pivots.gather(1, index[..., None].expand(-1, -1, 2)) for index in (first, second))
    return start * (1 - share) + stop * share, begin == number
