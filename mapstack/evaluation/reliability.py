"""Are predicted uncertainties true? Coverage of the Laplace intervals of point coordinates on held-out frames."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from mapstack.geometry.polyline import equivalent_orders
from mapstack.structures import MapElements

__all__ = ["Reliability", "best_factor", "cross_fitted_factors", "point_errors", "reliability"]

NUM_LEVELS = 20
NUM_BINS = 10
MAX_ERROR_M = 3.0  # a pair further apart is a miss and a false alarm, not a prediction with an error
MIN_SCORE = 0.3


@dataclass(frozen=True)
class Reliability:
    """What was promised and what was found, over M coordinates.

    Args:
        levels: (L,) the probabilities of intervals about the prediction.
        coverage: (L,) share of coordinates whose error lies in the interval of that probability.
        bin_scales_m: (K,) mean predicted scale of the coordinates in each bin, from the smallest scales to the largest.
        bin_errors_m: (K,) mean absolute error in the same bins; equal to the scale where the prediction is calibrated.
        expected_calibration_error: mean over the levels of the distance between probability and coverage.
        mean_scale_m: of all coordinates.
        mean_error_m: absolute, of all coordinates.
        log_likelihood: mean over coordinates, natural logarithm, of a density per metre.
        num_coordinates: M.
    """

    levels: NDArray
    coverage: NDArray
    bin_scales_m: NDArray
    bin_errors_m: NDArray
    expected_calibration_error: float
    mean_scale_m: float
    mean_error_m: float
    log_likelihood: float
    num_coordinates: int


def reliability(errors_m: NDArray, scales_m: NDArray) -> Reliability:
    """Compare errors with the Laplace distributions that were predicted for them.

    The interval of probability p about a prediction of scale b reaches -b ln(1 - p) to each side (Kuleshov et al.,
    ICML 2018, section 3, for its coverage; Levi et al., Sensors 2022, for the comparison in bins of the scale).

    Args:
        errors_m: (M,) absolute errors, M >= 1.
        scales_m: (M,) predicted scales, positive.

    Raises:
        ValueError: shapes differ, or nothing was predicted, or a scale is not positive.
    """
    errors_m, scales_m = np.asarray(errors_m, np.float64), np.asarray(scales_m, np.float64)
    if errors_m.shape != scales_m.shape or errors_m.ndim != 1 or not len(errors_m) or not (scales_m > 0).all():
        raise ValueError(f"want M >= 1 errors and as many positive scales, got {errors_m.shape} and {scales_m.shape}")
    levels = (np.arange(NUM_LEVELS) + 0.5) / NUM_LEVELS
    inside = np.sort(-np.expm1(-errors_m / scales_m))  # the probability of the smallest interval that holds the truth
    coverage = np.searchsorted(inside, levels, side="right") / len(inside)
    order = np.argsort(scales_m, kind="stable")
    bins = [part for part in np.array_split(order, NUM_BINS) if len(part)]
    return Reliability(
        levels=levels,
        coverage=coverage,
        bin_scales_m=np.array([scales_m[part].mean() for part in bins]),
        bin_errors_m=np.array([errors_m[part].mean() for part in bins]),
        expected_calibration_error=float(np.abs(coverage - levels).mean()),
        mean_scale_m=float(scales_m.mean()),
        mean_error_m=float(errors_m.mean()),
        log_likelihood=float(-(errors_m / scales_m + np.log(2 * scales_m)).mean()),
        num_coordinates=len(errors_m),
    )


def best_factor(errors_m: NDArray, scales_m: NDArray) -> float:
    """The one number to multiply all scales by that makes the errors likeliest: the mean of error over scale."""
    return float(np.mean(np.asarray(errors_m, np.float64) / np.asarray(scales_m, np.float64)))


def cross_fitted_factors(errors_m: NDArray, scales_m: NDArray, groups: NDArray) -> NDArray:
    """(M,) factors, each fitted on the other half of the scenes: no coordinate helps to judge itself.

    Args:
        errors_m: (M,) absolute errors.
        scales_m: (M,) predicted scales.
        groups: (M,) int, the scene of each; neighbouring frames of one scene err alike.
    """
    half = np.unique(groups, return_inverse=True)[1] % 2
    factors = np.ones(len(errors_m))
    for side in (0, 1):
        other = half != side
        factors[half == side] = best_factor(errors_m[other], scales_m[other]) if other.any() else 1.0
    return factors


def point_errors(
    predicted: MapElements, truth: MapElements, min_score: float = MIN_SCORE, max_error_m: float = MAX_ERROR_M
) -> tuple[NDArray, NDArray]:
    """Errors of one frame's coordinates, with the scales predicted for them.

    Every true element is paired with at most one prediction of its class (Hungarian, by the mean distance in the best
    of the element's equivalent orders), as in training. Pairs further apart than ``max_error_m`` are detections
    that failed, and are left out.

    Args:
        predicted: with ``scores`` and ``scales``; P points.
        truth: with ``closed`` and ``directed``; P points.
        min_score: predictions below it are not counted on.
        max_error_m: mean L1 distance of a point.

    Returns:
        Absolute errors and scales, both (M,) metres over all coordinates; M may be 0.
    """
    if predicted.scales is None:
        raise ValueError("the predictions carry no scales; configure the decoder with uncertainty=True")
    kept = (predicted.scores >= min_score).cpu().numpy()
    points, scales, labels = (
        value.detach().cpu().double().numpy()[kept] for value in (predicted.points, predicted.scales, predicted.labels)
    )
    dims = points.shape[-1]
    true_points = truth.points[..., :dims].cpu().double().numpy()
    if not len(points) or not len(true_points):
        return np.zeros(0), np.zeros(0)
    gaps = [
        np.abs(points[:, None] - true_points[n][_orders(truth, n)][None]) for n in range(len(truth))
    ]  # each (N, K, P, D)
    means = [gap.sum(-1).mean(-1) for gap in gaps]  # each (N, K)
    cost = np.stack([mean.min(1) for mean in means], 1)
    cost = np.where(labels[:, None] == truth.labels.cpu().numpy(), cost, np.inf)
    far = np.where(np.isfinite(cost), np.minimum(cost, 1e3), 1e6)
    pairs = [(q, n) for q, n in zip(*linear_sum_assignment(far), strict=True) if cost[q, n] <= max_error_m]
    errors: Sequence[NDArray] = [gaps[n][q, means[n][q].argmin()] for q, n in pairs]
    if not pairs:
        return np.zeros(0), np.zeros(0)
    return np.concatenate([e.ravel() for e in errors]), np.concatenate([scales[q].ravel() for q, _ in pairs])


def _orders(truth: MapElements, number: int) -> NDArray:
    return equivalent_orders(truth.points.shape[1], bool(truth.closed[number]), bool(truth.directed[number]))
