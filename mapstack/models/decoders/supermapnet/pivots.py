"""The pivots of true elements: the few vertices that a polyline turns at, as many as it needs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mapstack.geometry.polyline import resample
from mapstack.models.decoders.vectormapnet.lines import Lines, canonical, gather_lines
from mapstack.models.matching import TargetBatch, batch_targets
from mapstack.structures import MapElements

__all__ = ["PivotTargets", "batch_pivots", "visvalingam"]


@dataclass(frozen=True)
class PivotTargets:
    """Truth of B frames, every element in the one order that its equivalent orders share.

    Args:
        target: as for other decoders, with that order alone.
        pivots: (B, N, V, 2) ego metres; those after an element's last repeat it.
        counts: (B, N) int64 pivots of each element, at least 2; 2 on padding.
    """

    target: TargetBatch
    pivots: Tensor
    counts: Tensor


def visvalingam(
    vertices: NDArray, counts: NDArray, area_m2: float, least: NDArray, most: NDArray
) -> tuple[NDArray, NDArray]:
    """Simplify L polylines at once (Visvalingam and Whyatt, 1993).

    The inner vertex whose triangle with its neighbours is smallest goes first, as long as that triangle is smaller
    than ``area_m2`` or the polyline has more than ``most`` vertices.

    Args:
        vertices: (L, V, 2), each polyline's first ``counts`` rows.
        counts: (L,) at least 2.
        area_m2: of the triangle.
        least: (L,) vertices that are kept in any case.
        most: (L,) vertices at most, at least 2; where ``least`` is larger, this counts.

    Returns:
        Vertices of the same shape, the kept ones first and the last of them repeated, and their counts (L,).
    """
    vertices, counts = vertices.copy(), counts.copy()
    rows, slots = np.arange(len(vertices)), np.arange(vertices.shape[1])
    slots_after = np.minimum(slots + 1, len(slots) - 1)
    while len(vertices):
        before, after = vertices[:, np.maximum(slots - 1, 0)], vertices[:, slots_after]
        u, v = vertices - before, after - before
        area = np.abs(u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]) / 2
        inner = (slots > 0) & (slots < counts[:, None] - 1)
        area = np.where(inner, area, np.inf)
        smallest = area.argmin(1)
        found = area[rows, smallest]
        go = np.isfinite(found) & ((counts > most) | ((found < area_m2) & (counts > least)))
        if not go.any():
            break
        moved = go[:, None] & (slots >= smallest[:, None])  # what lies behind the vertex moves up over it
        vertices = np.where(moved[..., None], vertices[:, slots_after], vertices)
        counts = counts - go
    last = vertices[rows, counts - 1][:, None]
    return np.where((slots < counts[:, None])[..., None], vertices, last), counts


def _padded(lines: Lines) -> NDArray:
    """(L, V, 2), each polyline's vertices first."""
    vertices = np.zeros((len(lines), int(lines.counts.max(initial=2)), 2))
    owners = lines.owners
    vertices[owners, np.arange(len(owners)) - lines.starts[owners]] = lines.vertices
    return vertices


def _one_order(truth: Sequence[MapElements], lines: Lines, device: torch.device) -> TargetBatch:
    """The truth with its points along ``lines`` as its only order."""
    num_points = truth[0].points.shape[1]
    points = resample(np.split(lines.vertices, np.cumsum(lines.counts)[:-1]) if len(lines) else [], num_points)
    parts = np.split(points, np.cumsum([len(item) for item in truth])[:-1])
    rewritten = [
        replace(item, points=torch.from_numpy(part.astype(np.float32)), vertices=None, scales=None)
        for item, part in zip(truth, parts, strict=True)
    ]
    target = batch_targets(rewritten, device)
    return replace(target, points=target.points[:, :, :1])


def batch_pivots(
    truth: Sequence[MapElements], device: torch.device, num_pivots: Sequence[int], area_m2: float
) -> PivotTargets:
    """Find the pivots of B frames' truth and pad them.

    Args:
        truth: B frames.
        device: where the result lives.
        num_pivots: most pivots of an element, by class; at least 2.
        area_m2: smallest triangle that a pivot stands for; the published 2 m².
    """
    lines = canonical(gather_lines(truth))
    labels = np.concatenate([np.zeros(0, int), *(item.labels.cpu().numpy() for item in truth)])
    least = np.where(lines.closed, 4, 2)  # a ring of fewer encloses nothing
    padded = _padded(lines)
    found, counts = visvalingam(padded, lines.counts, area_m2, least, np.asarray(num_pivots)[labels])
    target = _one_order(truth, lines, device)
    sizes = [len(item) for item in truth]
    frames = np.repeat(np.arange(len(truth)), sizes)
    slots = np.concatenate([np.zeros(0, int), *(np.arange(size) for size in sizes)])
    width = max(num_pivots)
    pivots = torch.zeros(*target.valid.shape, width, 2)
    pivot_counts = torch.full(target.valid.shape, 2)
    take = np.minimum(np.arange(width), found.shape[1] - 1)  # past the last vertex that one is repeated
    pivots[frames, slots] = torch.from_numpy(found[:, take]).float()
    pivot_counts[frames, slots] = torch.from_numpy(counts)
    return PivotTargets(target, pivots.to(device), pivot_counts.to(device))
