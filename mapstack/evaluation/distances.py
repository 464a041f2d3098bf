"""Chamfer and discrete Fréchet distances of many pairs of polylines at once, and the nearest target of each.

The O(P^2) work runs in float32 block by block, after pairs that cannot come within reach are
sorted out by bounding boxes. Every pair whose float32 value could change a decision (near a threshold, or
nearly as close as another target) is measured again in float64, so the outcome is that of float64 throughout.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .matching import SLACK_M
from .protocols import Protocol

__all__ = ["chamfer_m", "frechet_m", "nearest_target"]

BLOCK_ELEMENTS = 128 * 100 * 100  # 5 MB of float32; smaller blocks make two threads wait for each other
BOUND_PAIRS = 2048
RESERVE_M = 1e-3  # what float32 bounds may be off by, many times over

PairFilter = Callable[[NDArray], NDArray]


def chamfer_m(a: NDArray, b: NDArray) -> NDArray:
    """Mean over both directions of the mean distance to the other's nearest point, float64.

    Args:
        a: (..., P, D) metres.
        b: (..., Q, D).

    Returns:
        (...,) metres.
    """
    squared = sum((a[..., :, None, d] - b[..., None, :, d]) ** 2 for d in range(a.shape[-1]))
    ab = np.ascontiguousarray(np.sqrt(squared.min(-1))).mean(-1)
    ba = np.ascontiguousarray(np.sqrt(squared.min(-2))).mean(-1)
    return (ab + ba) / 2


def frechet_m(a: NDArray, b: NDArray) -> NDArray:
    """Discrete Fréchet distance in the given directions, all pairs at once, one anti-diagonal at a time.

    Args:
        a: (N, P, D) metres.
        b: (N, Q, D).

    Returns:
        (N,) metres.
    """
    pairs, p, q = len(a), a.shape[1], b.shape[1]
    apart = np.sqrt(sum((a[:, :, None, d] - b[:, None, :, d]) ** 2 for d in range(a.shape[-1])))
    coupling = np.full((pairs, p + 1, q + 1), np.inf)  # coupling[i + 1, j + 1]: best up to a_i, b_j
    coupling[:, 0, 0] = 0.0
    for diagonal in range(p + q - 1):
        i = np.arange(max(0, diagonal - q + 1), min(p, diagonal + 1))
        j = diagonal - i
        best = np.minimum(np.minimum(coupling[:, i, j + 1], coupling[:, i + 1, j]), coupling[:, i, j])
        coupling[:, i + 1, j + 1] = np.maximum(best, apart[:, i, j])
    return coupling[:, p, q]


def _frechet_either_m(a: NDArray, b: NDArray) -> NDArray:
    return np.minimum(frechet_m(a, b), frechet_m(a[:, ::-1], b))


def _in_blocks(
    measure: Callable[[NDArray, NDArray], NDArray], predictions: NDArray, targets: NDArray, pairs: NDArray
) -> NDArray:
    """``measure(a, b)`` of (R, 2) index pairs, a block at a time."""
    size = max(1, BLOCK_ELEMENTS // (predictions.shape[1] * targets.shape[1]))
    blocks = [
        measure(predictions[pairs[at : at + size, 0]], targets[pairs[at : at + size, 1]])
        for at in range(0, len(pairs), size)
    ]
    return np.concatenate(blocks) if blocks else np.zeros(0)


class _Single:
    """One side in float32, coordinate by coordinate, with its bounding boxes."""

    def __init__(self, points: NDArray) -> None:
        self.points = torch.from_numpy(np.ascontiguousarray(np.moveaxis(points, -1, 0), dtype=np.float32))  # (D, N, P)
        self.low, self.high = self.points.amin(2), self.points.amax(2)  # (D, N)


def _bound_m(points: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """(R,) mean distance of (D, R, P) points to their (D, R) boxes: never more than that to what is inside."""
    outside = torch.maximum(low[..., None] - points, points - high[..., None]).clamp_min_(0.0)
    return outside.square_().sum(0).sqrt_().mean(1)


def _reachable(a: _Single, b: _Single, pairs: NDArray, reach_m: float) -> NDArray:
    """The (R, 2) pairs whose Chamfer (and so Fréchet) distance could be at most ``reach_m``."""
    index = torch.from_numpy(pairs)
    i, j = index.T
    gap = torch.maximum(b.low[:, j] - a.high[:, i], a.low[:, i] - b.high[:, j]).clamp_min_(0.0)
    index = index[gap.square_().sum(0) <= (reach_m + RESERVE_M) ** 2]
    kept = []
    for part in index.split(BOUND_PAIRS):
        i, j = part.T
        bound = _bound_m(a.points[:, i], b.low[:, j], b.high[:, j])
        bound += _bound_m(b.points[:, j], a.low[:, i], a.high[:, i])
        kept.append(part[bound / 2 <= reach_m + RESERVE_M])
    return torch.cat(kept).numpy() if kept else pairs[:0]


def _pairs(groups_p: NDArray, groups_t: NDArray) -> NDArray:
    """(R, 2) every prediction with every target of its group, in order; ``groups_t`` need not be sorted."""
    order = np.argsort(groups_t, kind="stable")
    first = np.searchsorted(groups_t[order], groups_p, side="left")
    count = np.searchsorted(groups_t[order], groups_p, side="right") - first
    i = np.repeat(np.arange(len(groups_p)), count)
    within_group = np.arange(len(i)) - np.repeat(np.cumsum(count) - count, count)
    return np.stack([i, order[np.repeat(first, count) + within_group]], axis=1)


def _chamfer_float32(a: _Single, b: _Single, pairs: NDArray) -> NDArray:
    """(R,) metres, exact up to float32's rounding of the coordinates."""
    p, q = a.points.shape[2], b.points.shape[2]
    size = max(1, BLOCK_ELEMENTS // (p * q))
    squared, step = torch.empty(2, size, p, q)
    distances = np.empty(len(pairs))
    for at in range(0, len(pairs), size):
        i, j = torch.from_numpy(pairs[at : at + size]).T
        total, one = squared[: len(i)], step[: len(i)]
        for d in range(len(a.points)):
            torch.sub(a.points[d, i, :, None], b.points[d, j, None, :], out=one if d else total)
            total = total.addcmul_(one, one) if d else total.square_()
        ab, ba = (total.amin(axis).sqrt_().double().mean(1) for axis in (2, 1))
        distances[at : at + size] = ((ab + ba) / 2).numpy()
    return distances


def _doubtful(points: tuple[NDArray, NDArray], pairs: NDArray, distances: NDArray, limits: NDArray) -> NDArray:
    """Indices of the pairs whose float32 distance could mislead: near a limit, or nearly as near as another."""
    predictions, targets = points
    largest = max(np.abs(predictions).max(initial=0.0), np.abs(targets).max(initial=0.0))
    doubt_m = 1e-6 * (1.0 + largest)  # float32 keeps 24 bits: the error is below 5e-7 of the largest coordinate
    nearest = np.full(len(predictions), np.inf)
    np.minimum.at(nearest, pairs[:, 0], distances)
    rival = distances <= nearest[pairs[:, 0]] + 2 * doubt_m
    contested = np.bincount(pairs[rival, 0], minlength=len(predictions)) > 1
    borderline = (np.abs(distances[:, None] - limits) <= doubt_m).any(1)
    return np.flatnonzero(rival & (contested[pairs[:, 0]] | borderline))


@torch.inference_mode()
def nearest_target(
    predictions: NDArray,
    targets: NDArray,
    groups: tuple[NDArray, NDArray],
    protocol: Protocol,
    allowed: PairFilter | None = None,
    scale: NDArray | None = None,
) -> tuple[NDArray, NDArray]:
    """Each prediction's nearest target in its own group (frame and class).

    Args:
        predictions: (N, P, D) metres.
        targets: (M, Q, D) metres.
        groups: (N,) and (M,) int64.
        protocol: the distance and the limits that will be asked about; further away than the largest counts
            as infinite.
        allowed: optional filter, (R, 2) index pairs to (R,) bool.
        scale: (M,) in (0, 1], the factor on distances to each target; ones when None.

    Returns:
        (N,) int64 index into ``targets`` (the first of equally near ones, 0 where there is none in reach) and
        (N,) metres, infinite where there is none. The metres decide as float64 would; as a figure, Chamfer is
        good to 1e-4 m.
    """
    best, nearest = np.full(len(predictions), np.inf), np.zeros(len(predictions), np.int64)
    pairs = _pairs(*groups)
    if not len(pairs):
        return nearest, best
    scale = np.ones(len(targets)) if scale is None else scale
    single = _Single(predictions), _Single(targets)
    pairs = _reachable(*single, pairs, max(protocol.thresholds_m) / scale.min())
    if allowed is not None:
        pairs = pairs[allowed(pairs)]
    if protocol.distance == "chamfer":
        approximate = _chamfer_float32(*single, pairs) * scale[pairs[:, 1]]
        again = _doubtful((predictions, targets), pairs, approximate, np.array(protocol.thresholds_m))
        distances = approximate
        distances[again] = _in_blocks(chamfer_m, predictions, targets, pairs[again]) * scale[pairs[again, 1]]
    else:
        measure = frechet_m if protocol.directed else _frechet_either_m
        distances = _in_blocks(measure, predictions, targets, pairs) * scale[pairs[:, 1]]
    np.minimum.at(best, pairs[:, 0], distances)
    chosen = np.flatnonzero(distances <= best[pairs[:, 0]] + SLACK_M)
    nearest[pairs[chosen[::-1], 0]] = pairs[chosen[::-1], 1]  # backwards, so that the first of equals stays
    return nearest, best
