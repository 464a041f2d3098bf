"""Predictions joined with targets by token, checked, and handed out in chunks of whole frames in token order."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mapstack.errors import DataError

from .polylines import Polylines
from .submission import Entry, Submission

__all__ = ["Chunk", "EvaluationSet", "Side"]

ELEMENTS_PER_CHUNK = 5000  # some 20 MB once resampled
NORMALISED_SPREAD = 0.05  # a model that collapsed to one point is not mistaken for one that forgot to scale


@dataclass(frozen=True)
class Side:
    """The elements of one side of a chunk.

    Args:
        lines: N polylines, ego metres.
        labels: (N,) int64, index into the set's classes.
        scores: (N,) in [0, 1]; ones for targets.
        frames: (N,) int64, index into the set's tokens.
        entries: the chunk's frames as they stand in the file, for what only some protocols read.
    """

    lines: Polylines
    labels: NDArray
    scores: NDArray
    frames: NDArray
    entries: tuple[Entry, ...]

    def where(self, mask: NDArray) -> "Side":
        """The elements that (N,) bool ``mask`` names."""
        return replace(
            self,
            lines=self.lines.where(mask),
            labels=self.labels[mask],
            scores=self.scores[mask],
            frames=self.frames[mask],
        )

    def per_element(self, key: str, where: str) -> NDArray:
        """(N,) int64 of ``key``, a list beside the vectors of every entry; raises where one lacks it.

        Only right before :meth:`where`, which does not touch the entries.
        """
        parts = []
        for entry, count in zip(self.entries, self.counts(), strict=True):
            values = np.asarray(entry.get(key, ()))
            if values.shape != (count,) or (count and values.dtype.kind not in "iu"):
                raise DataError(f"{where}: this protocol needs {key!r}, one whole number for each vector of a frame")
            parts.append(values.astype(np.int64))
        return np.concatenate(parts)

    def counts(self) -> list[int]:
        """Elements of each entry."""
        return [len(entry["labels"]) for entry in self.entries]


@dataclass(frozen=True)
class Chunk:
    """Whole frames ``first`` to ``first + len(tokens)`` of the set."""

    first: int
    tokens: tuple[str, ...]
    predictions: Side
    targets: Side


class EvaluationSet:
    """Both sides of a score, joined by token.

    Args:
        predictions: by token, with scores.
        targets: by token.
        classes: class names in label order; otherwise from the files' "meta", otherwise the labels seen in targets.
        scenes: token to scene; otherwise the "scene" of each entry, otherwise unknown.
    """

    def __init__(
        self,
        predictions: Submission,
        targets: Submission,
        classes: Sequence[str] | None = None,
        scenes: Mapping[str, str] | None = None,
    ) -> None:
        self.predictions, self.targets = self._sources = predictions, targets
        self.tokens = targets.tokens
        _check_same_tokens(predictions, targets)
        self.rules = {str(key): str(value) for key, value in (targets.meta.get("rules") or {}).items()}
        self.classes = tuple(classes) if classes else _stated_classes(predictions, targets)
        if self.classes is None:
            self.classes = _labels_seen(targets)
        self._scenes = scenes
        self.scenes: list[str | None] = [None] * len(self.tokens)  # filled as the chunks go by

    def chunks(self, dim: int) -> Iterator[Chunk]:
        """All frames once, ``dim`` coordinates each; raises at the end if a side is not in metres."""
        ranges = (_Range(), _Range())
        first, sides, size = 0, ([], []), 0
        for number, token in enumerate(self.tokens):
            for which, (source, side) in enumerate(zip(self._sources, sides, strict=True)):
                side.append(_read_frame(source, token, dim, len(self.classes), scored=which == 0))
                size += len(side[-1].labels)
            self.scenes[number] = self._scene(token, sides[1][-1].entry, sides[0][-1].entry)
            if size >= ELEMENTS_PER_CHUNK or number == len(self.tokens) - 1:
                tokens = tuple(self.tokens[first : number + 1])
                joined = [_join(side, first, dim) for side in sides]
                for seen, side in zip(ranges, joined, strict=True):
                    seen.add(side.lines.vertices)
                yield Chunk(first, tokens, *joined)
                first, sides, size = number + 1, ([], []), 0
        for source, seen in zip(self._sources, ranges, strict=True):
            seen.check(source.name)

    def _scene(self, token: str, *entries: Entry) -> str | None:
        if self._scenes is not None:
            if token not in self._scenes:
                raise DataError(f"scenes: no scene for token {token}; give one for every token, or none at all")
            return str(self._scenes[token])
        return next((str(entry["scene"]) for entry in entries if entry.get("scene") is not None), None)

    def units(self) -> tuple[str, NDArray]:
        """What the bootstrap draws: ("scene" or "frame", (F,) int64 unit of each frame); after the chunks."""
        known = [scene for scene in self.scenes if scene is not None]
        if not known:
            return "frame", np.arange(len(self.tokens))
        if len(known) < len(self.tokens):
            token = self.tokens[self.scenes.index(None)]
            raise DataError(f"{self.targets.name}: token {token} has no scene although others have; add it")
        return "scene", np.unique(np.array(known), return_inverse=True)[1]


class _Range:
    """The smallest and largest xy seen: all of it within [0, 1] means that nobody scaled it to metres."""

    def __init__(self) -> None:
        self.low, self.high = np.full(2, np.inf), np.full(2, -np.inf)

    def add(self, vertices: NDArray) -> None:
        if len(vertices):
            x, y = vertices[:, 0], vertices[:, 1]
            self.low = np.minimum(self.low, (x.min(), y.min()))
            self.high = np.maximum(self.high, (x.max(), y.max()))

    def check(self, name: str) -> None:
        spread = (self.high - self.low).max()
        if self.low.min() >= 0 and self.high.max() <= 1 and spread > NORMALISED_SPREAD:
            raise DataError(
                f"{name}: every point lies in [0, 1], from {self.low.tolist()} to {self.high.tolist()}. These look "
                "like normalised patch coordinates, not ego metres (noise would score 1.0); scale them with "
                "BEVGrid.ego_from_patch"
            )


def _check_same_tokens(predictions: Submission, targets: Submission) -> None:
    predicted, wanted = set(predictions.tokens), set(targets.tokens)
    for missing, where, mend in (
        (wanted - predicted, predictions.name, "a frame without predictions has an entry with empty lists"),
        (predicted - wanted, targets.name, "score the split that was predicted, or leave these frames out"),
    ):
        if missing:
            some = ", ".join(sorted(missing)[:3])
            raise DataError(f"{where} lacks {len(missing)} of {len(predicted | wanted)} tokens: {some}; {mend}")


def _stated_classes(*sides: Submission) -> tuple[str, ...] | None:
    stated = [(side.name, tuple(side.meta["classes"])) for side in sides if side.meta.get("classes")]
    if len({classes for _, classes in stated}) > 1:
        raise DataError("; ".join(f"{name} has classes {classes}" for name, classes in stated) + ": relabel one")
    return stated[0][1] if stated else None


def _labels_seen(targets: Submission) -> tuple[str, ...]:
    """Names for labels 0 to the largest in the targets, where nobody said what they mean."""
    largest = max(
        (max(targets.quick_entry(token).get("labels", ()), default=-1) for token in targets.tokens), default=-1
    )
    return tuple(str(label) for label in range(int(largest) + 1))


@dataclass(frozen=True)
class _Frame:
    """One side of one frame; ``entry`` without its vectors, whose Python lists would fill the memory."""

    lines: Polylines
    labels: NDArray
    scores: NDArray
    entry: Entry


def _join(frames: list[_Frame], first: int, dim: int) -> Side:
    """Frames ``first``, ``first + 1`` ... as one."""
    return Side(
        Polylines.join([frame.lines for frame in frames], dim),
        np.concatenate([frame.labels for frame in frames]),
        np.concatenate([frame.scores for frame in frames]),
        np.repeat(first + np.arange(len(frames)), [len(frame.labels) for frame in frames]),
        tuple(frame.entry for frame in frames),
    )


def _read_frame(source: Submission, token: str, dim: int, num_classes: int, scored: bool) -> _Frame:
    """One side of one frame, checked; a DataError names file and token."""
    entry, where = source.quick_entry(token), f"{source.name}: token {token}"
    for key in ("vectors", "labels", "scores")[: 2 + scored]:
        if key not in entry:
            raise DataError(f"{where} has no {key!r}; it has {', '.join(map(str, entry)) or 'nothing'}")
    lines = _parse_vectors(entry["vectors"], where, dim)
    labels = _numbers(entry["labels"], where, "labels")
    scores = _numbers(entry["scores"], where, "scores") if scored else np.ones(len(labels))
    if not len(lines) == len(labels) == len(scores):
        raise DataError(f"{where} has {len(lines)} vectors, {len(labels)} labels and {len(scores)} scores")
    wrong = ~((labels == np.floor(labels)) & (labels >= 0) & (labels < num_classes))
    if wrong.any():
        known = f"the {num_classes} classes, 0 to {num_classes - 1}"
        raise DataError(f"{where}: label {labels[wrong][0]:g} is not one of {known}")
    wrong = ~((scores >= 0) & (scores <= 1))
    if wrong.any():
        raise DataError(f"{where}: score {scores[wrong][0]:g} lies outside [0, 1]; apply the sigmoid or softmax first")
    return _Frame(lines, labels.astype(np.int64), scores, {k: v for k, v in entry.items() if k != "vectors"})


def _numbers(values: object, where: str, name: str) -> NDArray:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: {name} must be a list of numbers ({error})") from error
    if array.size and array.ndim != 1:
        raise DataError(f"{where}: {name} must be a flat list, got shape {array.shape}")
    return array.reshape(-1)


def _parse_vectors(vectors: object, where: str, dim: int) -> Polylines:
    """The checked polylines of one frame, cut to ``dim`` coordinates."""
    if not len(vectors):
        return Polylines(np.zeros((0, dim)), np.zeros(0, np.int64))
    lines = vectors if isinstance(vectors, Polylines) else _from_lists(vectors, where)
    if lines.counts.min() < 2:
        number = int(lines.counts.argmin())
        raise DataError(f"{where}: vector {number} has {lines.counts[number]} point(s), a polyline needs 2")
    if not np.isfinite(lines.vertices).all():
        broken = ~np.isfinite(lines.vertices).all(1)
        owner = np.repeat(np.arange(len(lines)), lines.counts)[broken.argmax()]
        raise DataError(f"{where}: vector {owner} holds NaN or infinity; the model diverged?")
    if lines.vertices.shape[1] < dim:
        raise DataError(f"{where}: vectors are 2-D, the protocol scores {dim} coordinates")
    return Polylines(lines.vertices[:, :dim], lines.counts)


def _from_lists(vectors: Sequence, where: str) -> Polylines:
    """Vectors of equal length in one conversion, ragged ones one by one."""
    if len({len(vector) for vector in vectors}) == 1:
        block = _as_points(vectors, 3, where, "a vector")
        return Polylines(block.reshape(-1, block.shape[-1]), np.full(len(block), block.shape[1], np.int64))
    arrays = [_as_points(vector, 2, where, f"vector {number}") for number, vector in enumerate(vectors)]
    if len({array.shape[-1] for array in arrays}) > 1:
        raise DataError(f"{where} mixes 2-D and 3-D vectors")
    return Polylines(np.concatenate(arrays), np.array([len(array) for array in arrays], np.int64))


def _as_points(value: object, ndim: int, where: str, what: str) -> NDArray:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: {what} is not a list of [x, y] points ({error})") from error
    if ndim == 2 and array.size == 0:
        return np.zeros((0, 2))
    if array.ndim != ndim or array.shape[-1] not in (2, 3):
        raise DataError(f"{where}: {what} is not a list of [x, y] or [x, y, z] points; shape {array.shape}")
    return array
