"""The metrics written plainly from their definitions: one loop per thing that is counted. Slow on purpose.

Nothing here is shared with mapstack.evaluation: shapely walks along the lines, SciPy measures, lists are sorted.
"""

import math

import numpy as np
from scipy.spatial.distance import cdist
from shapely.geometry import LineString


def walk(vectors: list, num_points: int) -> np.ndarray:
    line = LineString(vectors)
    return np.array([line.interpolate(k / (num_points - 1) * line.length).coords[0] for k in range(num_points)])


def chamfer(a: np.ndarray, b: np.ndarray) -> float:
    distances = cdist(a, b)
    return (distances.min(axis=1).mean() + distances.min(axis=0).mean()) / 2


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    distances = cdist(a, b)
    best = np.full(distances.shape, math.inf)
    for i in range(len(a)):
        for j in range(len(b)):
            before = [best[x, y] for x, y in ((i - 1, j), (i, j - 1), (i - 1, j - 1)) if x >= 0 and y >= 0]
            best[i, j] = max(min(before), distances[i, j]) if before else distances[i, j]
    return best[-1, -1]


def frechet_either(a: np.ndarray, b: np.ndarray) -> float:
    return min(frechet(a, b), frechet(a[::-1], b))


def hits_of_frame(lines: list, scores: list, targets: list, distance, threshold: float, inclusive: bool) -> list[bool]:
    """Best score first, nearest target or nothing; the earlier prediction first among equal scores."""
    hits, taken = [False] * len(lines), set()
    for i in sorted(range(len(lines)), key=lambda i: (-scores[i], i)):
        if not targets:
            continue
        apart = [distance(lines[i], target) for target in targets]
        j = min(range(len(targets)), key=lambda j: (apart[j], j))
        close = apart[j] <= threshold if inclusive else apart[j] < threshold
        if close and j not in taken:
            taken.add(j)
            hits[i] = True
    return hits


def area_ap(ranked: list[bool], num_targets: int) -> float:
    """All-point interpolated AP in the form MapTR's evaluator has it."""
    true = np.cumsum(ranked)
    recall = np.concatenate([[0.0], true / num_targets, [1.0]])
    precision = np.concatenate([[0.0], true / np.arange(1, len(ranked) + 1), [0.0]])
    for k in range(len(precision) - 1, 0, -1):
        precision[k - 1] = max(precision[k - 1], precision[k])
    return float(sum((recall[k + 1] - recall[k]) * precision[k + 1] for k in range(len(recall) - 1)))


def level_ap(ranked: list[bool], num_targets: int, levels: list[float]) -> float:
    """Mean over ``levels`` of the best precision at that recall or beyond."""
    true, total = 0, 0.0
    points = []
    for k, hit in enumerate(ranked, 1):
        true += hit
        points.append((true / num_targets, true / k))
    for level in levels:
        total += max((precision for recall, precision in points if recall >= level - 1e-12), default=0.0)
    return total / len(levels)


def pooled_ap(
    predictions: dict,
    targets: dict,
    label: int,
    threshold: float,
    *,
    num_points: int = 100,
    distance=chamfer,
    inclusive: bool = True,
    simplify: float = 0.0,
    ap=area_ap,
) -> float:
    """AP of one class and threshold over all tokens."""
    ranked, num_targets = [], 0
    for token in sorted(targets):
        true = []
        for vector, its_label in zip(targets[token]["vectors"], targets[token]["labels"], strict=True):
            if its_label == label:
                line = list(LineString(vector).simplify(simplify).coords) if simplify else vector
                true.append(walk(line, num_points))
        entry = predictions[token]
        chosen = [i for i, its_label in enumerate(entry["labels"]) if its_label == label]
        lines = [walk(entry["vectors"][i], num_points) for i in chosen]
        scores = [entry["scores"][i] for i in chosen]
        hits = hits_of_frame(lines, scores, true, distance, threshold, inclusive)
        ranked += [(-score, token, i, hit) for i, (score, hit) in enumerate(zip(scores, hits, strict=True))]
        num_targets += len(true)
    if num_targets == 0:
        return 0.0
    return ap([hit for *_, hit in sorted(ranked)], num_targets)
