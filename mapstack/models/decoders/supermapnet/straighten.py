"""From slots, of which some are pivots, to the polyline through the pivots."""

import torch
from torch import Tensor

__all__ = ["straighten"]


def straighten(points: Tensor, pivot_logits: Tensor, missing: Tensor) -> Tensor:
    """Move every slot that is no pivot onto the line between the pivots before and after it.

    The first and the last slot are pivots always. The polyline has as many corners as there are pivots, whatever the
    number of points that describe it.

    Args:
        points: (B, Q, P, 2).
        pivot_logits: (B, Q, P), positive for a pivot.
        missing: (Q, P) bool, True where an element has no such slot; those become its last point.

    Returns:
        (B, Q, P, 2).
    """
    slots = torch.arange(points.shape[2], device=points.device)
    last = (~missing).sum(1, keepdim=True) - 1  # (Q, 1)
    kept = ((pivot_logits > 0) | (slots == 0) | (slots == last)) & ~missing  # (B, Q, P)
    # As comparisons of all pairs of slots: ONNX has no running maximum.
    earlier, later = slots <= slots[:, None], slots >= slots[:, None]
    before = torch.where(kept[:, :, None] & earlier, slots, -1).amax(-1)  # (B, Q, P)
    after = torch.where(kept[:, :, None] & later, slots, points.shape[2]).amin(-1)
    after = torch.minimum(after, last)
    share = ((slots - before) / (after - before).clamp(min=1)).clamp(0, 1)[..., None]
    start, stop = (points.gather(2, index[..., None].expand(-1, -1, -1, 2)) for index in (before, after))
    return torch.where((after > before)[..., None], start * (1 - share) + stop * share, start)
