"""Prior vectors of a batch as padded tensors: ragged in, one rectangle out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

__all__ = ["PREFIX", "PriorBatch", "batch_priors", "nearest_and_longest"]

PREFIX = "prior_"  # of the tensors' names among a model's inputs
LENGTH_WEIGHT = (
    0.1  # of two vectors equally near the longer one is kept; 10 m of length weigh as much as 1 m of distance
)


@dataclass(frozen=True)
class PriorBatch:
    """Prior vectors of B frames, all sources together, padded to the N of the fullest frame; N is at least 1.

    Args:
        points: (B, N, P, 2) ego metres (of the augmented frame, as everything else); 0 on padding.
        labels: (B, N) int64 class in the vocabulary of priors; 0 on padding.
        sources: (B, N) int64, which kind of map a vector is from; 0 on padding.
        confidence: (B, N) in [0, 1], what the source says of itself; 0 on padding.
        valid: (B, N) bool, False on padding.
        changed: (B, N) int64: 1 where the world is known to have changed since the vector was mapped, 0 where it is
            known not to have, -1 where nobody knows; None outside training.
    """

    points: Tensor
    labels: Tensor
    sources: Tensor
    confidence: Tensor
    valid: Tensor
    changed: Tensor | None = None

    @classmethod
    def from_inputs(cls, inputs: Mapping[str, Tensor]) -> "PriorBatch | None":
        """The batch among a model's inputs, where it is named ``prior_points`` and so on; None where there is none."""
        if f"{PREFIX}points" not in inputs:
            return None
        return cls(**{item.name: inputs.get(PREFIX + item.name) for item in fields(cls)})

    def to_inputs(self) -> dict[str, Tensor]:
        """The tensors by the names that :meth:`from_inputs` reads."""
        named = {PREFIX + item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value for name, value in named.items() if value is not None}

    def only(self, keep: Tensor) -> "PriorBatch":
        """The same with (B, N) bool ``keep`` False taken for padding."""
        return PriorBatch(
            **{item.name: getattr(self, item.name) for item in fields(self) if item.name != "valid"},
            valid=self.valid & keep,
        )

    def rows(self, index: Tensor) -> "PriorBatch":
        """The frames of (M,) int64 ``index``."""
        taken = {item.name: getattr(self, item.name) for item in fields(self)}
        return PriorBatch(**{name: None if value is None else value[index] for name, value in taken.items()})


def nearest_and_longest(points: Tensor, limit: int) -> Tensor:
    """Which of (n, P, 2) vectors to keep where there are more than ``limit``: indices in their given order.

    Kept are those nearest to the ego; a longer vector is allowed to lie a little farther away.
    """
    if len(points) <= limit:
        return torch.arange(len(points), device=points.device)
    distance = points.norm(dim=-1).amin(1)
    length = points.diff(dim=1).norm(dim=-1).sum(1)
    return (distance - LENGTH_WEIGHT * length).argsort(stable=True)[:limit].sort().values


def batch_priors(frames: Sequence[Mapping[str, Tensor]], limit: int) -> PriorBatch:
    """Pad the prior vectors of B frames.

    Args:
        frames: of each frame ``points`` (n, P, 2), ``labels``, ``sources`` and ``confidence`` (n,), and in training
            ``changed`` (n,); any n, 0 included, one P for all.
        limit: most vectors of a frame; see :func:`nearest_and_longest`.

    Raises:
        ValueError: frames differ in the number of points of a vector.
    """
    counts = {tuple(frame["points"].shape[1:]) for frame in frames}
    if len(counts) > 1:
        raise ValueError(f"prior vectors of one batch have different point counts: {sorted(counts)}")
    keep = [nearest_and_longest(frame["points"], limit) for frame in frames]
    most = max([1, *map(len, keep)])
    padded: dict[str, Tensor] = {}
    for name in ("points", "labels", "sources", "confidence", *(("changed",) if "changed" in frames[0] else ())):
        like = frames[0][name]
        padded[name] = like.new_zeros(len(frames), most, *like.shape[1:])
        for row, frame, index in zip(padded[name], frames, keep, strict=True):
            row[: len(index)] = frame[name][index]
    number = torch.arange(most, device=padded["points"].device)
    valid = number < torch.tensor([len(index) for index in keep], device=number.device)[:, None]
    return PriorBatch(**padded, valid=valid)
