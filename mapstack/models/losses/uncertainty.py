"""Likelihood of point errors under a predicted Laplace distribution."""

from torch import Tensor

__all__ = ["laplace_loss"]


def laplace_loss(scales: Tensor, points: Tensor, target: Tensor, normalizer: Tensor) -> Tensor:
    """Negative log-likelihood of the coordinate errors, mean over points and coordinates, summed over elements.

    The error is taken as it is: only the scales learn from it, so that the points are trained as without them, and a
    scale cannot buy a low loss by letting its point go.

    Args:
        scales: (M, P, D) metres, positive; M may be 0.
        points: (M, P, D) ego metres.
        target: (M, P, D) ego metres, in the matched order.
        normalizer: scalar.
    """
    error = (points.detach() - target).abs()
    return (error / scales + (2 * scales).log()).flatten(1).mean(1).sum() / normalizer
