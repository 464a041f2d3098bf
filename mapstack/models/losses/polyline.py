"""Losses of matched polylines, in ego metres."""

import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

__all__ = ["class_loss", "direction_loss", "point_loss"]

MIN_SEGMENT_M = 0.05


def class_loss(logits: Tensor, labels: Tensor, normalizer: Tensor) -> Tensor:
    """Sigmoid focal loss, summed and divided by ``normalizer`` (the number of true elements).

    Args:
        logits: (..., C).
        labels: (...) int64, C for "no element".
        normalizer: scalar.
    """
    target = F.one_hot(labels, logits.shape[-1] + 1)[..., :-1].to(logits.dtype)
    return sigmoid_focal_loss(logits, target, alpha=0.25, gamma=2.0, reduction="sum") / normalizer


def point_loss(points: Tensor, target: Tensor, normalizer: Tensor) -> Tensor:
    """Mean over points of the L1 distance in metres, summed over M elements and divided by ``normalizer``.

    Metres count alike along x and y; MapTR's loss, on coordinates scaled by each side of the patch, does not
    have that property.

    Args:
        points: (M, P, D) ego metres; M may be 0.
        target: (M, P, D) ego metres, in the matched order.
        normalizer: scalar.
    """
    return (points - target).abs().sum(-1).mean(-1).sum() / normalizer


def direction_loss(points: Tensor, target: Tensor, normalizer: Tensor) -> Tensor:
    """One minus the cosine between predicted and true edges (MapTR, section 3.4), mean over edges.

    Edges shorter than 5 cm in the truth have no direction and are left out.

    Args:
        points: (M, P, D) ego metres; M may be 0.
        target: (M, P, D) ego metres, in the matched order.
        normalizer: scalar.
    """
    edges, true_edges = points.diff(dim=1), target.diff(dim=1)
    known = true_edges.norm(dim=-1) > MIN_SEGMENT_M
    gap = (1 - F.cosine_similarity(edges, true_edges, dim=-1, eps=1e-4)) * known
    return (gap.sum(-1) / known.sum(-1).clamp(min=1)).sum() / normalizer
