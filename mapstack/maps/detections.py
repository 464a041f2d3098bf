"""What an online mapper would see of a map patch: some lines missing, some cut, all a little off, a few not there."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapstack.geometry.polyline import length_m, resample

from .patch import MapPatch

__all__ = ["DetectionNoise", "simulate_detections"]


@dataclass(frozen=True)
class DetectionNoise:
    """How bad the detections are.

    Args:
        miss: chance that an element is not found at all.
        shortest: of an element that is found, a run of this to all of its length is seen.
        shift_m: standard deviation of the whole element's offset along x and y.
        bend_m: standard deviation of the offset that its points have besides, the same within about 5 m.
        invented: elements that are not there, per element that is.
    """

    miss: float = 0.3
    shortest: float = 0.5
    shift_m: float = 0.15
    bend_m: float = 0.1
    invented: float = 0.1


BEND_LENGTH_M = 5.0


def simulate_detections(
    patch: MapPatch, noise: DetectionNoise, rng: np.random.Generator, spacing_m: float = 1.0
) -> tuple[NDArray, NDArray]:
    """Draw detections of a patch.

    Args:
        patch: the truth around the vehicle.
        noise: what is wrong with them.
        rng: randomness.
        spacing_m: between points.

    Returns:
        (M, 2) points in ego metres, line after line, and (M,) labels.
    """
    points, labels = [np.zeros((0, 2))], [np.zeros(0, np.int64)]
    for vertices, label in zip(patch.vertices, patch.labels, strict=True):
        line = vertices[:, :2]
        if rng.random() >= noise.miss:
            points.append(_seen(line, noise, rng, spacing_m))
            labels.append(np.full(len(points[-1]), label))
        if rng.random() < noise.invented:  # the same shape elsewhere: as like a line as lines are
            turn = rng.uniform(-np.pi, np.pi)
            rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
            points.append(_seen(line @ rotation.T, noise, rng, spacing_m))
            labels.append(np.full(len(points[-1]), label))
    return np.concatenate(points), np.concatenate(labels)


def _seen(line: NDArray, noise: DetectionNoise, rng: np.random.Generator, spacing_m: float) -> NDArray:
    count = max(2, round(length_m(line) / spacing_m) + 1)
    points = resample([line], count)[0]
    kept = max(2, round(count * rng.uniform(noise.shortest, 1.0)))
    first = rng.integers(0, count - kept + 1)
    knots = max(2, round(length_m(line) / BEND_LENGTH_M) + 1)
    bend = rng.normal(0.0, noise.bend_m, (knots, 2))
    at = np.linspace(0, knots - 1, count)
    points = points + np.stack([np.interp(at, np.arange(knots), bend[:, k]) for k in range(2)], 1)
    return points[first : first + kept] + rng.normal(0.0, noise.shift_m, 2)
