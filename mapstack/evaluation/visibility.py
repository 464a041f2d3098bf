"""How well a map is drawn where the LiDAR sees the ground and where something stands in between, near and far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from mapstack.errors import DataError
from mapstack.registry import METRICS
from mapstack.structures import MapElements

from .map_metric import as_array
from .written_metric import WrittenMetric

__all__ = ["REGIONS", "VisibilityMetric", "hidden_from", "length_average_precision"]

REGIONS = ("seen", "hidden", "near", "far")
AZIMUTHS = 360  # a degree each: the shadow of a post is as wide as its neighbours' rays leave it
RANGE_BIN_M = 0.5
CLEAR_OF_M = 0.05  # heights this far below the sensor, or less, throw a shadow without end


def hidden_from(
    ground_xy: NDArray, points: NDArray, origin: NDArray, min_height_m: float = 0.3, margin_m: float = 0.5
) -> NDArray:
    """Which places on the ground lie in the shadow of something that the sensor saw.

    The ground is the plane z = 0 of the ego frame. What a sensor at height H hit at height h and distance r hides the
    ground of its azimuth from there to r H / (H - h), and all of it where h reaches H.

    Args:
        ground_xy: (N, 2) ego metres.
        points: (M, 3) one sweep, ego metres.
        origin: (3,) of the sensor, ego metres.
        min_height_m: what is lower is ground.
        margin_m: a shadow begins so far behind what throws it, so that a kerb before a wall counts as seen.

    Returns:
        (N,) bool.
    """
    offsets = ground_xy - origin[:2]
    distance = np.hypot(*offsets.T)
    if not len(ground_xy):
        return np.zeros(0, bool)
    bins = int(distance.max() / RANGE_BIN_M) + 2
    # One more than one less: a running sum along each azimuth counts the shadows that lie over a cell.
    edges = np.zeros((AZIMUTHS, bins + 1), np.int32)
    hits = points[points[:, 2] >= min_height_m] - origin
    below = np.maximum(-hits[:, 2], CLEAR_OF_M)  # H - h
    reach = np.hypot(hits[:, 0], hits[:, 1])
    end = np.where(-hits[:, 2] > CLEAR_OF_M, reach * origin[2] / below, np.inf)
    first = np.ceil(np.minimum((reach + margin_m) / RANGE_BIN_M, bins)).astype(int)
    last = np.floor(np.minimum(end / RANGE_BIN_M, bins)).astype(int)
    throws = last > first
    rays = _azimuth(hits[throws])
    np.add.at(edges, (rays, first[throws]), 1)
    np.add.at(edges, (rays, last[throws]), -1)
    shadow = edges.cumsum(1) > 0
    return shadow[_azimuth(offsets), (distance / RANGE_BIN_M).astype(int)]


def _azimuth(offsets: NDArray) -> NDArray:
    turn = np.arctan2(offsets[:, 1], offsets[:, 0]) / (2 * np.pi) % 1.0
    return np.minimum((turn * AZIMUTHS).astype(int), AZIMUTHS - 1)


def length_average_precision(scores: NDArray, hits: NDArray, found: NDArray) -> float:
    """Area under precision over recall, both counted in metres of line rather than in elements.

    Args:
        scores: (N,) of the predicted samples.
        hits: (N,) bool, whether a true sample is near.
        found: (G,) for each true sample the best score of a predicted sample near it, -inf where there is none.

    Returns:
        In [0, 1], every precision replaced by the best at that recall or beyond; NaN without truth.
    """
    if not len(found):
        return float("nan")
    levels = np.unique(scores)[::-1]
    if not len(levels):
        return 0.0
    ranked, right = np.sort(scores), np.sort(scores[hits])
    said = len(ranked) - np.searchsorted(ranked, levels)
    true = len(right) - np.searchsorted(right, levels)
    recall = (len(found) - np.searchsorted(np.sort(found), levels)) / len(found)
    envelope = np.maximum.accumulate((true / said)[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * envelope).sum())


@dataclass(frozen=True)
class _Samples:
    """Samples of one frame's lines of one class.

    Args:
        scores: (N,) of the predicted ones.
        hits: (N,) bool.
        places: (N,) bit set of :data:`REGIONS`.
        found: (G,) as :func:`length_average_precision` takes it.
        true_places: (G,) bit set.
    """

    scores: NDArray
    hits: NDArray
    places: NDArray
    found: NDArray
    true_places: NDArray


@METRICS.register_module()
class VisibilityMetric(WrittenMetric):
    """Average precision by length, where the LiDAR sees the ground and where it does not, near and far.

    Lines are cut into samples ``step_m`` apart. A predicted sample is right when a true one of its class lies within
    ``reach_m``; a true one is found at the best score of those near it. Each counts for the regions that it lies in
    itself. ``visibility/seen``, ``hidden``, ``near`` and ``far`` are means over the classes that are there, and
    ``visibility/hidden_share`` and ``far_share`` the shares of the true length.

    The frame's own sweep tells what is hidden, so the pipeline must load the LiDAR, also for a model without one. A
    frame whose sweep is empty or was lost on purpose is left out; ``visibility/frames`` counts the others.

    Args:
        reach_m: see above.
        step_m: see above.
        far_m: what lies farther from the ego origin is ``far``.
        **options: as :class:`WrittenMetric`.
    """

    default_prefix = "visibility"

    def __init__(self, reach_m: float = 1.0, step_m: float = 0.5, far_m: float = 30.0, **options: str | None) -> None:
        super().__init__(**options)
        self.reach_m, self.step_m, self.far_m = reach_m, step_m, far_m

    def process(self, data_batch: dict, data_samples: Sequence[Mapping]) -> None:
        """Keep one entry a frame."""
        clouds = data_batch["inputs"].get("points")
        for number, sample in enumerate(data_samples):
            origin = sample.get("lidar_origin")
            if clouds is None or origin is None:
                raise DataError(
                    f"token {sample['token']} has no LiDAR, which tells what is hidden; add LoadLidar to the test "
                    f"pipeline or leave VisibilityMetric out"
                )
            cloud = clouds[number].cpu().numpy()
            own = cloud[cloud[:, 4] == 0.0, :3]
            per_class = {
                name: self._samples(sample["pred"], sample["gt"], label, own, origin)
                for label, name in enumerate(sample["classes"])
            }
            self.results.append(per_class if len(own) else {})

    def _samples(
        self, pred: MapElements | Mapping, gt: MapElements | Mapping, label: int, cloud: NDArray, origin: NDArray
    ) -> _Samples:
        said, scores = self._along(pred, label)
        true, _ = self._along(gt, label)
        found = np.full(len(true), -np.inf)
        near = KDTree(said).query_ball_point(true, self.reach_m) if len(said) and len(true) else [[]] * len(true)
        for place, those in enumerate(near):
            found[place] = scores[those].max(initial=-np.inf)
        hits = np.zeros(len(said), bool)
        hits[np.unique(np.concatenate([*near, []]).astype(int))] = True
        return _Samples(scores, hits, self._places(said, cloud, origin), found, self._places(true, cloud, origin))

    def _along(self, elements: MapElements | Mapping, label: int) -> tuple[NDArray, NDArray]:
        """Samples (N, 2) of a class's lines and the scores (N,) of their elements, zeros for truth."""
        fields = elements if isinstance(elements, Mapping) else vars(elements)
        lines = fields["points"] if fields.get("vertices") is None else fields["vertices"]
        scores = fields.get("scores")
        points, values = [np.zeros((0, 2))], [np.zeros(0)]
        for number in np.flatnonzero(as_array(fields["labels"]) == label):
            line = as_array(lines[number]).astype(np.float64)[:, :2]
            along = np.append(0.0, np.hypot(*np.diff(line, axis=0).T).cumsum())
            # The middles of equal pieces: each sample stands for the same length.
            count = max(1, round(along[-1] / self.step_m))
            at = (np.arange(count) + 0.5) * along[-1] / count
            points.append(np.stack([np.interp(at, along, line[:, axis]) for axis in (0, 1)], axis=1))
            values.append(np.full(count, 0.0 if scores is None else float(scores[number])))
        return np.concatenate(points), np.concatenate(values)

    def _places(self, points: NDArray, cloud: NDArray, origin: NDArray) -> NDArray:
        hidden = hidden_from(points, cloud, origin)
        far = np.hypot(*points.T) > self.far_m
        return sum(where.astype(int) << bit for bit, where in enumerate((~hidden, hidden, ~far, far)))

    def compute_metrics(self, results: list[dict[str, _Samples]]) -> dict[str, float]:
        """Score all frames."""
        told = [frame for frame in results if frame]
        if not told:
            return {"frames": 0}
        per_class = {
            name: _Samples(*(np.concatenate([vars(frame[name])[key] for frame in told]) for key in vars(first)))
            for name, first in told[0].items()
        }
        metrics: dict[str, float] = {"frames": len(told)}
        lengths = dict.fromkeys(REGIONS, 0)
        for bit, region in enumerate(REGIONS):
            there = []
            for name, samples in per_class.items():
                inside, true = samples.places >> bit & 1 > 0, samples.true_places >> bit & 1 > 0
                value = length_average_precision(samples.scores[inside], samples.hits[inside], samples.found[true])
                metrics[f"{region}_{name}"] = value
                lengths[region] += int(true.sum())
                there += [value] if true.any() else []
            metrics[region] = float(np.mean(there)) if there else float("nan")
        whole = max(lengths["seen"] + lengths["hidden"], 1)
        metrics |= {"hidden_share": lengths["hidden"] / whole, "far_share": lengths["far"] / whole}
        self.write_scores(metrics)
        return metrics
