"""DrawnMap: what every drawing function takes, made from a patch, from elements or from a predictions file."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapstack.maps.patch import MapPatch
from mapstack.structures import MapElements

__all__ = ["DrawnMap"]


@dataclass(frozen=True)
class DrawnMap:
    """Ragged polylines with a class each; N may be 0.

    Args:
        vertices: N arrays (n_i, 2 or 3), ego metres.
        labels: (N,) int64, index into ``classes``.
        classes: class names in label order.
        scores: (N,) in [0, 1] for predictions, None for truth.
    """

    vertices: Sequence[NDArray]
    labels: NDArray
    classes: tuple[str, ...]
    scores: NDArray | None = None

    def __post_init__(self) -> None:
        if len(self.vertices) != len(self.labels):
            raise ValueError(f"{len(self.vertices)} polylines but {len(self.labels)} labels")
        if self.scores is not None and len(self.scores) != len(self.labels):
            raise ValueError(f"{len(self.labels)} labels but {len(self.scores)} scores")
        if len(self.labels) and not 0 <= min(self.labels) <= max(self.labels) < len(self.classes):
            raise ValueError(f"labels {sorted(set(map(int, self.labels)))} do not fit the classes {self.classes}")

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def from_patch(cls, patch: MapPatch) -> "DrawnMap":
        """Truth as it was cut from the map."""
        return cls(patch.vertices, np.asarray(patch.labels), tuple(patch.classes))

    @classmethod
    def from_elements(cls, elements: MapElements, classes: Sequence[str], min_score: float = 0.0) -> "DrawnMap":
        """Truth (its exact vertices where it has them) or the predictions that score at least ``min_score``."""
        labels = elements.labels.detach().cpu().numpy()
        points = elements.points.detach().cpu().double().numpy()
        vertices = list(points) if elements.vertices is None else elements.vertices
        if elements.scores is None:
            return cls(vertices, labels, tuple(classes))
        return cls(vertices, labels, tuple(classes), elements.scores.detach().cpu().numpy()).above(min_score)

    @classmethod
    def from_vectors(cls, frame: dict, classes: Sequence[str], min_score: float = 0.0) -> "DrawnMap":
        """One frame of a submission file: ``vectors``, ``labels`` and, for predictions, ``scores``."""
        vertices = [np.asarray(vector, dtype=float) for vector in frame["vectors"]]
        labels = np.asarray(frame["labels"], dtype=np.int64)
        if frame.get("scores") is None:
            return cls(vertices, labels, tuple(classes))
        return cls(vertices, labels, tuple(classes), np.asarray(frame["scores"], dtype=float)).above(min_score)

    def above(self, min_score: float) -> "DrawnMap":
        """The elements that score at least ``min_score``; truth is returned as it is."""
        if self.scores is None:
            return self
        kept = np.flatnonzero(self.scores >= min_score)
        return DrawnMap([self.vertices[i] for i in kept], self.labels[kept], self.classes, self.scores[kept])

    def to_vectors(self) -> dict:
        """One frame of a submission file: the opposite of :meth:`from_vectors`, in plain lists."""
        frame = {
            "vectors": [np.round(np.asarray(line, dtype=float), 4).tolist() for line in self.vertices],
            "labels": [int(label) for label in self.labels],
        }
        return frame if self.scores is None else frame | {"scores": [float(str(score)) for score in self.scores]}

    def segments(self, height_m: float = 0.0) -> tuple[NDArray, NDArray]:
        """Every polyline cut into its segments.

        Args:
            height_m: z that 2-D vertices get, ego metres.

        Returns:
            Ends (S, 2, 3) ego metres, and (S,) int64, the polyline each belongs to.
        """
        ends, owners = [np.zeros((0, 2, 3))], [np.zeros(0, dtype=np.int64)]
        for index, line in enumerate(self.vertices):
            line = np.asarray(line, dtype=float)
            if line.shape[1] == 2:
                line = np.column_stack([line, np.full(len(line), height_m)])
            ends.append(np.stack([line[:-1], line[1:]], axis=1))
            owners.append(np.full(max(len(line) - 1, 0), index))
        return np.concatenate(ends), np.concatenate(owners)
