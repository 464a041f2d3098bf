"""The pure functions, each against a plain statement of what it means."""

import numpy as np
import pytest

from mapstack.evaluation.average_precision import average_precision, drawn_average_precision, rank
from mapstack.evaluation.distances import chamfer_m, frechet_m, nearest_target
from mapstack.evaluation.matching import match_nearest, match_smallest_first
from mapstack.evaluation.polylines import Polylines
from mapstack.evaluation.protocols import PROTOCOLS, Protocol
from mapstack.geometry.polyline import resample

from . import reference
from .sets import random_line


def many_lines(seed: int, count: int, dim: int = 2) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [random_line(rng, int(rng.integers(2, 40)), dim) for _ in range(count)]


def as_polylines(lines: list[np.ndarray]) -> Polylines:
    dim = lines[0].shape[1]
    return Polylines.join([Polylines(line, np.array([len(line)])) for line in lines], dim)


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("num_points", [2, 11, 100])
def test_resampling_agrees_with_geometry(dim: int, num_points: int) -> None:
    lines = many_lines(0, 40, dim)
    lines[3] = np.repeat(lines[3][:1], 3, 0)  # no length
    lines[4] = np.repeat(lines[4], 2, 0)  # every vertex twice
    points = as_polylines(lines).resampled(num_points)
    np.testing.assert_allclose(points, resample(lines, num_points), atol=1e-9)
    assert (points[:, 0] == [line[0] for line in lines]).all()
    assert (points[:, -1] == [line[-1] for line in lines]).all()


def test_a_polyline_is_resampled_alike_in_any_company() -> None:
    lines = many_lines(1, 30)
    together = as_polylines(lines).resampled(100)
    alone = np.concatenate([as_polylines([line]).resampled(100) for line in lines])
    assert (together == alone).all()


def test_lengths_and_distances_to_the_ego() -> None:
    lines = [np.array([[3.0, -4.0], [3.0, 4.0]]), np.array([[5.0, 5.0], [8.0, 9.0], [8.0, 9.0]])]
    polylines = as_polylines(lines)
    np.testing.assert_allclose(polylines.lengths_m(), [8.0, 5.0])
    np.testing.assert_allclose(polylines.distance_to_ego_m(), [3.0, 50**0.5])  # 3 m lies between two vertices


def test_sampled_lines_are_kept_where_asked() -> None:
    line = np.array([[0.0, 0.0], [1.0, 0.0], [10.0, 0.0]])
    assert (as_polylines([line]).resampled(3, keep_sampled=True)[0] == line).all()
    assert as_polylines([line]).resampled(3)[0, 1, 0] == 5.0


def test_distances_agree_with_the_definition() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.uniform(-30, 30, (2, 20, 15, 3))
    np.testing.assert_allclose(
        chamfer_m(a, b), [reference.chamfer(x, y) for x, y in zip(a, b, strict=True)], atol=1e-12
    )
    np.testing.assert_allclose(
        frechet_m(a, b), [reference.frechet(x, y) for x, y in zip(a, b, strict=True)], atol=1e-12
    )
    assert (chamfer_m(a, a) == 0).all()
    assert (frechet_m(a, a) == 0).all()


@pytest.mark.parametrize("distance", ["chamfer", "frechet"])
@pytest.mark.parametrize("scaled", [False, True])
def test_the_nearest_target_is_found_among_many(distance: str, scaled: bool) -> None:
    rng = np.random.default_rng(3)
    targets = np.array([reference.walk(random_line(rng, 5), 12) for _ in range(30)])
    targets[7] = targets[8]  # two targets in one place: the first counts
    predictions = np.concatenate([targets + rng.normal(0, s, (30, 1, 2)) for s in (0.0, 0.3, 1.0)])
    groups = np.tile(np.arange(30) % 4, 3), np.arange(30) % 4
    groups[0][[7, 37, 67]] = groups[1][7] = groups[1][8] = 0
    scale = rng.uniform(0.5, 1, 30) if scaled else None
    protocol = Protocol("own", "", thresholds_m=(1.0, 2.0), distance=distance)
    nearest, apart = nearest_target(predictions, targets, groups, protocol, scale=scale)
    measure = reference.chamfer if distance == "chamfer" else reference.frechet_either
    for i, line in enumerate(predictions):
        own = [j for j in range(30) if groups[1][j] == groups[0][i]]
        metres = [measure(line, targets[j]) * (1.0 if scale is None else scale[j]) for j in own]
        if min(metres) <= 2.0:
            assert nearest[i] == own[int(np.argmin(metres))]
            assert apart[i] == pytest.approx(min(metres), abs=1e-4)
        else:
            assert not np.isfinite(apart[i]) or apart[i] > 2.0


@pytest.mark.parametrize("offset_m", [0.5, 1.0, 1.5])
def test_a_distance_equal_to_the_threshold_hits_where_inclusive(offset_m: float) -> None:
    line = as_polylines([np.array([[-3.0, 1.0], [17.0, 1.0]])]).resampled(100)
    groups = np.zeros(1, np.int64), np.zeros(1, np.int64)
    _, apart = nearest_target(line + [0.0, offset_m], line, groups, PROTOCOLS["maptr"])
    limits = PROTOCOLS["maptr"].thresholds_m
    inclusive = match_nearest(np.zeros(1, int), apart, np.ones(1), limits, inclusive=True)[0]
    strict = match_nearest(np.zeros(1, int), apart, np.ones(1), limits, inclusive=False)[0]
    assert inclusive.tolist() == [limit >= offset_m for limit in limits]
    assert strict.tolist() == [limit > offset_m for limit in limits]


def test_decisions_are_those_of_float64_where_float32_cannot_tell() -> None:
    """Differences of 1e-7 m at coordinates of 25 m, where float32 resolves 2e-6 m."""
    rng = np.random.default_rng(5)
    for _ in range(20):
        y = rng.uniform(20, 25)
        lines = [np.array([[-20.0, height], [20.0, height]]) for height in (y, y + 0.4, y - 0.4 + 1e-7)]
        line, above, below = as_polylines(lines).resampled(100)
        groups = np.zeros(1, np.int64), np.zeros(2, np.int64)
        for targets, expected in (([above, below], 1), ([below, above], 0)):
            assert nearest_target(line[None], np.array(targets), groups, PROTOCOLS["maptr"])[0][0] == expected
        for offset_m, hit in ((0.5 + 1e-7, False), (0.5 - 1e-7, True)):
            moved = (line + [0.0, offset_m])[None]
            nearest, apart = nearest_target(line[None], moved, (groups[0], groups[0]), PROTOCOLS["maptr"])
            assert match_nearest(nearest, apart, np.ones(1), (0.5,))[0, 0] == hit


def test_rounding_does_not_decide_at_a_threshold() -> None:
    """Lines moved by exactly one threshold along their normal, in any direction: 0.5 m give or take 1e-16."""
    angles = np.linspace(0, 2 * np.pi, 60)
    ends = np.stack([np.cos(angles), np.sin(angles)], 1)
    lines = as_polylines([np.array([[1.1, 2.3], [1.1, 2.3] + 17.3 * end]) for end in ends]).resampled(100)
    moved = lines + 0.5 * np.stack([-ends[:, 1], ends[:, 0]], 1)[:, None]
    groups = np.arange(60), np.arange(60)
    for predictions in (moved, moved[:, ::-1]):
        nearest, apart = nearest_target(predictions, lines, groups, PROTOCOLS["maptr"])
        assert match_nearest(nearest, apart, np.ones(60), (0.5,), inclusive=True).all()
        assert not match_nearest(nearest, apart, np.ones(60), (0.5,), inclusive=False).any()


def test_each_prediction_claims_its_nearest_target_or_nothing() -> None:
    nearest = np.array([0, 0, 1, 0])
    hits = match_nearest(nearest, np.array([0.4, 0.1, 0.9, np.inf]), np.array([0.9, 0.8, 0.7, 1.0]), (0.2, 0.5, 1.0))
    assert hits.T.tolist() == [[False, True, False, False], [True, False, False, False], [True, False, True, False]]


def test_the_first_of_equal_scores_claims() -> None:
    hits = match_nearest(np.zeros(2, int), np.array([0.4, 0.1]), np.array([0.5, 0.5]), (1.0,))
    assert hits[:, 0].tolist() == [True, False]


def test_the_closest_pair_goes_first_in_hdmapnets_matching() -> None:
    distances = np.array([[0.3, 0.6], [0.1, 0.7], [9.0, 9.0]])
    assert match_smallest_first(distances, 1.0).tolist() == [0.6, 0.1, np.inf]
    assert match_smallest_first(distances, 0.6).tolist() == [np.inf, 0.1, np.inf]  # strictly below
    assert match_smallest_first(np.zeros((2, 0)), 1.0).tolist() == [np.inf, np.inf]


def test_ap_by_hand() -> None:
    ranked = np.array([True, False, True, False])
    # Precision 1 up to recall 1/4, then 2/3 up to 2/4.
    assert average_precision(ranked, 4, "area") == pytest.approx(0.25 + 0.25 * 2 / 3)
    assert average_precision(ranked, 4, "11") == pytest.approx((3 * 1 + 3 * 2 / 3) / 11)
    assert average_precision(ranked, 4, "101") == pytest.approx((26 * 1 + 25 * 2 / 3) / 101)
    assert average_precision(ranked, 4, "10") == pytest.approx((2 * 1 + 3 * 2 / 3) / 10)


def test_ap_where_there_is_nothing() -> None:
    none = np.zeros(0, bool)
    assert average_precision(none, 3) == 0.0
    assert average_precision(np.zeros(4, bool), 3) == 0.0
    assert np.isnan(average_precision(np.zeros(4, bool), 0))
    assert np.isnan(average_precision(none, 0))


def test_an_unknown_ap_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown AP mode 'coco'; choose"):
        average_precision(np.ones(1, bool), 1, "coco")


def test_recall_levels_are_met_in_spite_of_rounding() -> None:
    # 3 of 10 found is recall 0.3 exactly, although 0.1 * 3 is not.
    assert average_precision(np.ones(3, bool), 10, "11") == pytest.approx(4 / 11)


@pytest.mark.parametrize("mode", ["area", "11", "101", "10"])
def test_drawing_a_scene_twice_is_having_it_twice(mode: str) -> None:
    rng = np.random.default_rng(4)
    units = rng.integers(0, 5, 60)
    hits = rng.random((60, 2)) < 0.5
    weights = rng.integers(0, 4, (5, 7)).astype(float)
    weights[:, 0] = 0
    targets = np.array([20, 15, 10, 12, 9])
    aps = drawn_average_precision(hits, units, weights, targets @ weights, mode)
    for draw in range(7):
        copies = weights[units, draw].astype(int)
        for column in range(2):
            truth = average_precision(np.repeat(hits[:, column], copies), int(targets @ weights[:, draw]), mode)
            assert aps[draw, column] == pytest.approx(truth, nan_ok=True, abs=1e-12)


def test_ranks_are_stable() -> None:
    scores = np.array([0.5, 0.9, 0.5, 0.1])
    assert rank(scores).tolist() == [1, 0, 2, 3]
    assert rank(scores, ascending=True).tolist() == [3, 0, 2, 1]
