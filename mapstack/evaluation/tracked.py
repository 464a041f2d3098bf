"""C-mAP: AP in which a prediction must keep its identity over a drive (MapTracker)."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from mapstack.errors import DataError

from .frames import Chunk, EvaluationSet
from .pooled import Bins, Detections, match_sides
from .protocols import Protocol
from .workers import in_order

__all__ = ["collect_tracked", "demote_switches"]


def demote_switches(hits: NDArray, tracks: NDArray, keys: NDArray, times: NDArray) -> NDArray:
    """Hits that carry the track id which first held their target's track; the others become misses.

    Args:
        hits: (N,) bool.
        tracks: (N,) int64, track id of each prediction.
        keys: (N,) int64, the target's track (unique over drives and classes); ignored where nothing hit.
        times: (N,) int64, order of the frames.

    Returns:
        (N,) bool.
    """
    rows = np.flatnonzero(hits)
    rows = rows[np.lexsort((rows, times[rows], keys[rows]))]
    _, first, group = np.unique(keys[rows], return_index=True, return_inverse=True)
    kept = np.zeros(len(hits), dtype=bool)
    kept[rows] = tracks[rows] == tracks[rows[first]][group]
    return kept


def _match_chunk(
    chunk: Chunk, protocol: Protocol, num_classes: int, bins: Bins, names: tuple[str, str]
) -> tuple[Detections, NDArray, NDArray]:
    """Detections of a chunk, track ids of its predictions, track ids of its targets."""
    where = f"token {chunk.tokens[0]} to {chunk.tokens[-1]}"
    tracks = chunk.predictions.per_element("track_ids", f"{names[0]}, {where}")
    target_tracks = chunk.targets.per_element("track_ids", f"{names[1]}, {where}")
    counted = chunk.predictions.scores > protocol.min_score
    if protocol.skip_frames_without_targets:
        with_targets = chunk.targets.frames * num_classes + chunk.targets.labels
        counted &= np.isin(chunk.predictions.frames * num_classes + chunk.predictions.labels, with_targets)
    predictions = chunk.predictions.where(counted)
    return match_sides(protocol, predictions, chunk.targets, num_classes, bins), tracks[counted], target_tracks


def _drive_order(frames: EvaluationSet, timestamps: list[int | None]) -> tuple[NDArray, NDArray]:
    """(F,) scene number of each frame and (F,) its place in time within the whole set."""
    for token, scene, timestamp in zip(frames.tokens, frames.scenes, timestamps, strict=True):
        if scene is None or timestamp is None:
            lacking = "scene" if scene is None else "timestamp_ns"
            raise DataError(f"{frames.targets.name}: token {token} has no {lacking}; tracks need both, in each entry")
    _, scenes = np.unique(np.array(frames.scenes, dtype=str), return_inverse=True)
    order = np.lexsort((np.arange(len(scenes)), np.array(timestamps, dtype=np.int64), scenes))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return scenes, place


def collect_tracked(protocol: Protocol, frames: EvaluationSet, bins: Bins) -> Detections:
    """Match the whole set and take back the hits that switched identity."""
    timestamps: list[int | None] = []

    def noting_time() -> object:
        for chunk in frames.chunks(protocol.dim):
            for sides in zip(chunk.targets.entries, chunk.predictions.entries, strict=True):
                timestamps.append(next((side["timestamp_ns"] for side in sides if "timestamp_ns" in side), None))
            yield chunk

    names = frames.predictions.name, frames.targets.name
    work = partial(_match_chunk, protocol=protocol, num_classes=len(frames.classes), bins=bins, names=names)
    parts = list(in_order(work, noting_time()))
    if not parts:
        return Detections.empty(len(protocol.thresholds_m))
    detections = Detections.join([part for part, _, _ in parts])
    tracks, target_tracks = (np.concatenate([part[side] for part in parts]) for side in (1, 2))
    scenes, place = _drive_order(frames, timestamps)
    if not len(target_tracks):
        return detections
    identity = np.stack([scenes[detections.target_frames], detections.target_labels, target_tracks], axis=1)
    key_of_target = np.unique(identity, axis=0, return_inverse=True)[1].reshape(-1)
    keys, times = key_of_target[detections.nearest], place[detections.frames]
    for column in range(len(protocol.thresholds_m)):
        detections.hits[:, column] = demote_switches(detections.hits[:, column], tracks, keys, times)
    return detections
