"""Losses on BEV maps, by class and by element."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["element_mask_costs", "element_mask_loss", "heatmap_focal_loss", "mask_loss"]


def mask_loss(logits: Tensor, mask: Tensor, positive_weight: float = 3.0) -> Tensor:
    """Cross-entropy with thin lines weighted up, plus the Dice loss of each class.

    Args:
        logits: (B, K, rows, cols).
        mask: (B, K, rows, cols), 1 where an element of that class is drawn.
        positive_weight: weight of drawn cells against empty ones.
    """
    mask = mask.to(logits.dtype)
    weight = logits.new_tensor(positive_weight)
    entropy = F.binary_cross_entropy_with_logits(logits, mask, pos_weight=weight)
    prob = logits.sigmoid()
    overlap = (prob * mask).sum((0, 2, 3))
    dice = 1 - (2 * overlap + 1) / (prob.sum((0, 2, 3)) + mask.sum((0, 2, 3)) + 1)
    return entropy + dice.mean()


def heatmap_focal_loss(logits: Tensor, heat: Tensor, normalizer: Tensor) -> Tensor:
    """Penalty-reduced focal loss of a heat map (CornerNet, ECCV 2018, section 3.2).

    Args:
        logits: (...).
        heat: (...) in [0, 1]; exactly 1 at the peaks.
        normalizer: scalar, the number of peaks.
    """
    prob = logits.sigmoid()
    peak = heat >= 1
    positive = F.logsigmoid(logits) * (1 - prob) ** 2
    negative = F.logsigmoid(-logits) * prob**2 * (1 - heat) ** 4
    return -torch.where(peak, positive, negative).sum() / normalizer


def element_mask_costs(logits: Tensor, masks: Tensor) -> Tensor:
    """Cross-entropy plus Dice of every predicted mask against every true one (Mask2Former, CVPR 2022, section 3.3).

    Args:
        logits: (B, Q, M) over M cells.
        masks: (B, N, M) in {0, 1}.

    Returns:
        (B, Q, N).
    """
    masks = masks.to(logits.dtype).transpose(1, 2)  # (B, M, N)
    cells = logits.shape[-1]
    # softplus(x) - x t summed over cells is the cross-entropy of target t.
    entropy = (F.softplus(logits).sum(-1, keepdim=True) - logits @ masks) / cells
    prob = logits.sigmoid()
    overlap, total = prob @ masks, prob.sum(-1, keepdim=True) + masks.sum(1)[:, None]
    return entropy + 1 - (2 * overlap + 1) / (total + 1)


def element_mask_loss(logits: Tensor, masks: Tensor, normalizer: Tensor) -> Tensor:
    """The same for matched pairs (E, M), summed over the elements and divided by ``normalizer``; E may be 0."""
    masks = masks.to(logits.dtype)
    entropy = F.binary_cross_entropy_with_logits(logits, masks, reduction="none").mean(-1)
    prob = logits.sigmoid()
    dice = 1 - (2 * (prob * masks).sum(-1) + 1) / (prob.sum(-1) + masks.sum(-1) + 1)
    return (entropy + dice).sum() / normalizer
