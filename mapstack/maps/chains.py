"""String lines together: undirected paint at nodes of two ends, directed lanes where nothing forks or merges."""

from collections import defaultdict

import numpy as np
import shapely
from numpy.typing import NDArray

__all__ = ["chain_directed", "chain_undirected", "drop_twins", "snapped"]

SNAP_DECIMALS = 3  # ends within a millimetre are one node; maps are published in cm or mm
TWIN_BUFFER_M = 1.0  # MapTRv2's test for "the same line": flat strips with an IoU of 0.9
TWIN_IOU = 0.9


def snapped(line: shapely.LineString) -> NDArray:
    """(n, 2 or 3) vertices, rounded to a millimetre."""
    return np.round(shapely.get_coordinates(line, include_z=shapely.has_z(line)), SNAP_DECIMALS) + 0.0


def drop_twins(lines: NDArray) -> NDArray:
    """Leave out every line that an earlier one already describes, in either direction.

    Twins have the same vertices, or strips of 1 m to each side whose intersection is 0.9 of their union.
    """
    seen, unique = set(), []
    for i, line in enumerate(lines):
        vertices = tuple(map(tuple, snapped(line)[:, :2]))
        key = min(vertices, vertices[::-1])
        if key not in seen:
            seen.add(key)
            unique.append(i)
    lines = lines[unique]
    if len(lines) < 2:
        return lines
    strips = shapely.buffer(lines, TWIN_BUFFER_M, cap_style="flat", join_style="mitre")
    first, second = shapely.STRtree(strips).query(strips, predicate="intersects")
    first, second = first[first < second], second[first < second]
    shared = shapely.area(shapely.intersection(strips[first], strips[second]))
    union = shapely.area(strips[first]) + shapely.area(strips[second]) - shared
    keep = np.ones(len(lines), dtype=bool)
    for i, j in sorted(zip(first[shared >= TWIN_IOU * union], second[shared >= TWIN_IOU * union], strict=True)):
        if keep[i]:
            keep[j] = False
    return lines[keep]


def chain_undirected(lines: NDArray) -> NDArray:
    """Merge lines at nodes where exactly two ends meet; at forks they stay apart, so no stretch is told twice."""
    if not len(lines):
        return np.zeros(0, dtype=object)
    merged = shapely.line_merge(shapely.multilinestrings([shapely.linestrings(snapped(line)) for line in lines]))
    return shapely.get_parts(merged)


def chain_directed(lines: NDArray, successors: list[list[int]] | None) -> NDArray:
    """Merge lines along their direction wherever one has one successor, and that has one predecessor.

    Args:
        lines: (N,) LineStrings.
        successors: numbers of the lines that follow each; None finds them where one line ends and others begin.

    Returns:
        (M,) LineStrings, M <= N. A loop without a fork becomes one closed line.
    """
    vertices = [shapely.get_coordinates(line, include_z=shapely.has_z(line)) for line in lines]
    if successors is None:
        begins = defaultdict(list)
        for i, line in enumerate(lines):
            begins[tuple(snapped(line)[0, :2])].append(i)
        successors = [begins[tuple(snapped(line)[-1, :2])] for line in lines]
    incoming = np.bincount([j for after in successors for j in after], minlength=len(lines))
    follows = {i: after[0] for i, after in enumerate(successors) if len(after) == 1 and incoming[after[0]] == 1}
    heads = [i for i in range(len(lines)) if i not in set(follows.values())]
    chained, used = [], np.zeros(len(lines), dtype=bool)
    for head in heads + list(range(len(lines))):  # the second part catches loops, which have no head
        if not used[head]:
            chained.append(_walk(head, follows, used, vertices))
    result = np.empty(len(chained), dtype=object)
    result[:] = [shapely.linestrings(line) for line in chained]
    return result


def _walk(head: int, follows: dict[int, int], used: NDArray, vertices: list[NDArray]) -> NDArray:
    parts: list[NDArray] = []
    i: int | None = head
    while i is not None and not used[i]:
        used[i] = True
        touches = parts and np.abs(parts[-1][-1, :2] - vertices[i][0, :2]).max() < 10**-SNAP_DECIMALS
        parts.append(vertices[i][1:] if touches else vertices[i])
        i = follows.get(i)
    return np.concatenate(parts)
