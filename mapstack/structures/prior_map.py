"""PriorMap: what maps knew of a frame's ground before it was seen; and a batch of them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from mapstack.geometry.polyline import resample
from mapstack.maps.prior_lines import PRIOR_CLASSES, PRIOR_SOURCES, PRIOR_TAGS, PriorPatch

from .map_data_sample import MapElements

__all__ = ["PriorBatch", "PriorMap", "batch_priors"]


@dataclass
class PriorMap:
    """N prior elements of P points each, of any number of sources; N may be 0 or thousands.

    Args:
        points: (N, P, 2 or 3) ego metres; a closed element's last point repeats its first.
        labels: (N,) int64, index into :data:`mapstack.maps.PRIOR_CLASSES`.
        sources: (N,) int64, index into :data:`mapstack.maps.PRIOR_SOURCES`.
        confidence: (N,) in [0, 1].
        tags: (N, T), columns as :data:`mapstack.maps.PRIOR_TAGS`; zeros where a source has none.
        closed: (N,) bool.
        directed: (N,) bool: only the given point order counts.
        elements: (N,) int64, number of the element of its whole prior, for lists of changes.
        changed: (N,) int64: 1 where it shows what is no longer there, 0 where what is, -1 where nobody knows.
        available: names of the priors that were there, be it with nothing in this patch; others were missing.
    """

    points: Tensor
    labels: Tensor
    sources: Tensor
    confidence: Tensor
    tags: Tensor
    closed: Tensor
    directed: Tensor
    elements: Tensor
    changed: Tensor
    available: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.points.ndim != 3 or self.points.shape[-1] not in (2, 3):
            raise ValueError(f"points must be (N, P, 2 or 3), got {tuple(self.points.shape)}")
        for item in fields(self)[1:-1]:
            value = getattr(self, item.name)
            if len(value) != len(self.points) or value.ndim != (2 if item.name == "tags" else 1):
                raise ValueError(f"{item.name} does not fit {len(self.points)} elements: {tuple(value.shape)}")

    def __len__(self) -> int:
        return len(self.points)

    @classmethod
    def empty(cls, num_points: int, num_dims: int = 2) -> "PriorMap":
        """No element, no prior available."""
        return cls.from_patches([], num_points, num_dims)

    @classmethod
    def from_patches(
        cls, patches: Sequence[tuple[str, str, PriorPatch]], num_points: int, num_dims: int = 2
    ) -> "PriorMap":
        """Join what several priors show.

        Args:
            patches: name and source of each prior, and its patch.
            num_points: P.
            num_dims: 2, or 3; elements without heights then get 0, the height of the ego origin.
        """
        points = [_with_dims(resample(patch.vertices, num_points), num_dims) for _, _, patch in patches if len(patch)]
        sources = [np.full(len(patch), PRIOR_SOURCES.index(source), np.int64) for _, source, patch in patches]

        def joined(arrays: Sequence[np.ndarray], dtype: type, shape: tuple[int, ...] = (0,)) -> Tensor:
            return torch.from_numpy(np.concatenate([np.zeros(shape, dtype), *arrays]).astype(dtype))

        return cls(
            points=joined(points, np.float32, (0, num_points, num_dims)),
            labels=joined([patch.labels for _, _, patch in patches], np.int64),
            sources=joined(sources, np.int64),
            confidence=joined([patch.confidence for _, _, patch in patches], np.float32),
            tags=joined([patch.tags for _, _, patch in patches], np.float32, (0, len(PRIOR_TAGS))),
            closed=joined([patch.closed for _, _, patch in patches], np.bool_),
            directed=joined([patch.directed for _, _, patch in patches], np.bool_),
            elements=joined([patch.elements for _, _, patch in patches], np.int64),
            changed=joined([patch.changed for _, _, patch in patches], np.int64),
            available=tuple(name for name, _, _ in patches),
        )

    def take(self, kept: Tensor) -> "PriorMap":
        """The elements that a mask (N,) or index names."""
        tensors = {item.name: getattr(self, item.name)[kept] for item in fields(self)[:-1]}
        return PriorMap(**tensors, available=self.available)

    def of_source(self, source: str) -> "PriorMap":
        """The elements of one source of :data:`mapstack.maps.PRIOR_SOURCES`."""
        return self.take(self.sources == PRIOR_SOURCES.index(source))

    def as_elements(self, classes: Sequence[str]) -> MapElements:
        """What the prior would predict by itself, scored by its confidence: a model must beat that, not copy it.

        Args:
            classes: of the task, in label order; elements of other classes are left out.
        """
        table = torch.tensor([classes.index(name) if name in classes else -1 for name in PRIOR_CLASSES])
        labels = table.to(self.labels.device)[self.labels]
        kept = labels >= 0
        return MapElements(points=self.points[kept], labels=labels[kept], scores=self.confidence[kept])

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "PriorMap":
        """The same elements on ``device``."""
        moved = {
            item.name: getattr(self, item.name).to(device, non_blocking=non_blocking) for item in fields(self)[:-1]
        }
        return PriorMap(**moved, available=self.available)


@dataclass
class PriorBatch:
    """B frames' priors, padded to the longest; N may be 0. Arguments as in :class:`PriorMap` with a leading B.

    Args:
        points: (B, N, P, 2 or 3).
        labels: (B, N).
        sources: (B, N).
        confidence: (B, N).
        tags: (B, N, T).
        closed: (B, N).
        directed: (B, N).
        elements: (B, N).
        changed: (B, N).
        valid: (B, N) bool, False on padding; a row of a frame without priors is all False.
    """

    points: Tensor
    labels: Tensor
    sources: Tensor
    confidence: Tensor
    tags: Tensor
    closed: Tensor
    directed: Tensor
    elements: Tensor
    changed: Tensor
    valid: Tensor

    def frame(self, index: int) -> PriorMap:
        """One frame without its padding."""
        kept = self.valid[index]
        return PriorMap(**{item.name: getattr(self, item.name)[index][kept] for item in fields(self)[:-1]})


def batch_priors(priors: Sequence[PriorMap], min_elements: int = 0) -> PriorBatch:
    """Pad B priors of unequal length into one batch.

    Args:
        priors: of equal P and dimensions.
        min_elements: N is at least this.
    """
    shapes = {tuple(prior.points.shape[1:]) for prior in priors}
    if len(shapes) != 1:
        raise ValueError(f"priors of one batch must have the same points and dimensions, got {sorted(shapes)}")
    longest = max(min_elements, *(len(prior) for prior in priors))
    padded = {}
    for item in fields(PriorMap)[:-1]:
        values = [getattr(prior, item.name) for prior in priors]
        out = values[0].new_zeros((len(values), longest, *values[0].shape[1:]))
        for row, value in zip(out, values, strict=True):
            row[: len(value)] = value
        padded[item.name] = out
    lengths = torch.tensor([len(prior) for prior in priors], device=priors[0].points.device)
    valid = torch.arange(longest, device=lengths.device) < lengths[:, None]
    return PriorBatch(**padded, valid=valid)


def _with_dims(points: np.ndarray, num_dims: int) -> np.ndarray:
    if points.shape[-1] < num_dims:
        return np.concatenate([points, np.zeros((*points.shape[:-1], 1))], axis=-1)
    return points[..., :num_dims]
