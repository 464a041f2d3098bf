"""Prior maps of a batch as tensors among a model's inputs: bounded, padded, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

import torch
from torch import Tensor

from mapstack.structures import PriorBatch, PriorMap, batch_priors

__all__ = ["exported_priors", "nearest_and_longest", "only", "prior_inputs", "priors_of", "rows_of"]

PREFIX = "prior_"
EXPORTED = ("points", "labels", "sources", "confidence", "tags", "valid")  # what a model's result depends on
LENGTH_WEIGHT = 0.1  # of two vectors equally near the longer is kept: 10 m of length weigh as much as 1 m of distance


def nearest_and_longest(points: Tensor, limit: int) -> Tensor:
    """Indices of the ``limit`` of (N, P, 2 or 3) vectors that lie nearest to the ego, nearest first.

    A longer vector is allowed to lie a little farther away.
    """
    flat = points[..., :2]
    distance = flat.norm(dim=-1).amin(1)
    length = flat.diff(dim=1).norm(dim=-1).sum(1)
    return (distance - LENGTH_WEIGHT * length).argsort(stable=True)[:limit]


def prior_inputs(priors: Sequence[PriorMap], limit: int | None) -> dict[str, Tensor]:
    """The priors of B frames as ``prior_points`` and so on, padded to the N of the fullest frame.

    Args:
        priors: any of them may be empty, or hold thousands of vectors.
        limit: most vectors of a frame, by :func:`nearest_and_longest`; the order that it gives is kept: a part of the
            model that takes only so many takes the first. None keeps all in their own order.
    """
    kept = priors
    if limit is not None:
        kept = [prior.take(nearest_and_longest(prior.points, limit)) for prior in priors]
    batch = batch_priors(kept, min_elements=1)  # one row of padding rather than none: no shape is ever empty
    return {PREFIX + item.name: getattr(batch, item.name) for item in fields(batch)}


def exported_priors(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of :func:`prior_inputs` that an exported model takes; (B, N, ...) of any B and N each."""
    return {PREFIX + name: inputs[PREFIX + name] for name in EXPORTED}


def priors_of(inputs: Mapping[str, Tensor]) -> PriorBatch | None:
    """The batch that :func:`prior_inputs` put among a model's inputs, its points in the plane; None without priors."""
    if f"{PREFIX}points" not in inputs:
        return None
    points = inputs[f"{PREFIX}points"][..., :2]
    unknown = torch.full_like(inputs[f"{PREFIX}labels"], -1)  # an exported model gets what its result depends on
    found = {item.name: inputs.get(PREFIX + item.name, unknown) for item in fields(PriorBatch)}
    return PriorBatch(**{**found, "points": points})


def only(batch: PriorBatch, keep: Tensor) -> PriorBatch:
    """The batch with vectors taken for padding where (B, N) bool ``keep`` is False."""
    return replace(batch, valid=batch.valid & keep)


def rows_of(batch: PriorBatch, index: Tensor) -> PriorBatch:
    """The frames that (M,) int64 ``index`` names."""
    return PriorBatch(**{item.name: getattr(batch, item.name)[index] for item in fields(batch)})
