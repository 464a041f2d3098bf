"""Truth of a batch as padded tensors, with every equivalent point order of each element."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from mapstack.geometry.polyline import equivalent_orders
from mapstack.structures import MapElements

__all__ = ["TargetBatch", "batch_targets"]


@dataclass(frozen=True)
class TargetBatch:
    """Map elements of B frames, padded to the N of the fullest frame; N may be 0.

    Args:
        points: (B, N, K, P, D) ego metres, K point orders; order 0 is the given one. An element with fewer
            than K orders repeats order 0, so a minimum over K needs no mask.
        labels: (B, N) int64; 0 on padding.
        valid: (B, N) bool, False on padding.
        closed: (B, N) bool.
    """

    points: Tensor
    labels: Tensor
    valid: Tensor
    closed: Tensor

    @property
    def num_elements(self) -> Tensor:
        """Number of real elements, a float scalar, at least 1: what losses are normalised by."""
        return self.valid.sum().clamp(min=1).float()

    def midpoints(self) -> Tensor:
        """(B, N, 2) ego metres: half way along an open element, centroid of a closed one's distinct points."""
        given = self.points[:, :, 0, :, :2]
        count = given.shape[2]
        half = (given[:, :, (count - 1) // 2] + given[:, :, count // 2]) / 2
        return torch.where(self.closed[..., None], given[:, :, :-1].mean(2), half)


@lru_cache
def _order_table(num_points: int) -> Tensor:
    """(4, K, P) int64 by kind: open, closed, open directed, closed directed; padded with the identity."""
    kinds = [equivalent_orders(num_points, bool(kind % 2), bool(kind // 2)) for kind in range(4)]
    most = max(len(kind) for kind in kinds)
    table = np.broadcast_to(np.arange(num_points), (4, most, num_points)).copy()
    for row, orders in zip(table, kinds, strict=True):
        row[: len(orders)] = orders
    return torch.from_numpy(table)


def batch_targets(elements: list[MapElements], device: torch.device, dims: int = 2) -> TargetBatch:
    """Pad the truth of B frames and lay out all equivalent orders by one gather.

    Args:
        elements: B frames' truth, all with the same number of points P; any of them may be empty.
        device: where the result lives.
        dims: D, 2 or 3; truth with z is flattened for a decoder that predicts none.

    Raises:
        ValueError: the truth lacks ``closed``, ``directed`` or z, or P differs between frames.
    """
    if any(item.closed is None or item.directed is None for item in elements):
        raise ValueError("truth needs closed and directed; make it with MapElements.from_patch")
    shapes = {item.points.shape[1:] for item in elements if len(item)}
    if len(shapes) > 1:
        raise ValueError(f"frames of one batch have different point counts or dimensions: {sorted(shapes)}")
    num_points, given = shapes.pop() if shapes else (elements[0].points.shape[1], dims)
    if given < dims:
        raise ValueError(f"the decoder predicts {dims} coordinates and the truth has {given}; set its dims to {given}")
    counts = [len(item) for item in elements]
    batch, most = len(elements), max(counts, default=0)
    table = _order_table(num_points).to(device)
    target = TargetBatch(
        points=torch.zeros(batch, most, table.shape[1], num_points, dims, device=device),
        labels=torch.zeros(batch, most, dtype=torch.long, device=device),
        valid=torch.zeros(batch, most, dtype=torch.bool, device=device),
        closed=torch.zeros(batch, most, dtype=torch.bool, device=device),
    )
    if most == 0:
        return target
    kept = [item for item in elements if len(item)]
    points = torch.cat([item.points for item in kept])[..., :dims].to(device)
    closed = torch.cat([item.closed for item in kept]).to(device)
    kind = closed.long() + 2 * torch.cat([item.directed for item in kept]).to(device).long()
    order = table[kind]  # (M, K, P)
    ordered = points[torch.arange(len(points), device=device)[:, None, None], order]
    frame = torch.repeat_interleave(torch.arange(batch, device=device), torch.tensor(counts, device=device))
    slot = torch.cat([torch.arange(count, device=device) for count in counts])
    target.points[frame, slot] = ordered
    target.labels[frame, slot] = torch.cat([item.labels for item in kept]).to(device)
    target.valid[frame, slot] = True
    target.closed[frame, slot] = closed
    return target
