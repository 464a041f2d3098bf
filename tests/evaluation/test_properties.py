"""What must hold for any input."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapstack.evaluation import Options, evaluate

from .sets import perfect, random_set

NO_DRAWS = Options(replicates=0)
UNDIRECTED = ("maptr", "streammapnet_60x30", "vectormapnet", "vectormapnet_frechet")
coordinate = st.integers(-40, 40).map(lambda value: value / 2)
polyline = st.lists(st.tuples(coordinate, coordinate), min_size=2, max_size=5, unique=True)
elements = st.lists(st.tuples(polyline, st.integers(0, 1)), max_size=4)


@st.composite
def frame_sets(draw: st.DrawFn) -> tuple[dict, dict]:
    predictions, targets = {"far": {"vectors": [[[0, 0], [9, 9]]], "labels": [0], "scores": [0.5]}}, {}
    targets["far"] = {"vectors": [[[30, 30], [39, 39]]], "labels": [1]}  # so that both labels and metres are there
    for number in range(draw(st.integers(1, 3))):
        for side in (predictions, targets):
            items = draw(elements)
            side[f"t{number}"] = {"vectors": [line for line, _ in items], "labels": [label for _, label in items]}
        count = len(predictions[f"t{number}"]["labels"])
        predictions[f"t{number}"]["scores"] = draw(st.lists(st.floats(0, 1), min_size=count, max_size=count))
    return predictions, targets


@settings(max_examples=60, deadline=None)
@given(frame_sets())
def test_perfect_predictions_score_one(sets: tuple[dict, dict]) -> None:
    targets = sets[1]
    result = evaluate(perfect(targets), targets, options=NO_DRAWS)
    duplicates = any(len({str(v) for v in e["vectors"]}) < len(e["vectors"]) for e in targets.values())
    for name, count in result.num_targets.items():
        if count and not duplicates:  # of two targets in the same place, nearest-only matching finds one
            assert result.per_class[name] == pytest.approx(1.0)


@settings(max_examples=60, deadline=None)
@given(frame_sets(), st.sampled_from(UNDIRECTED))
def test_reversing_polylines_changes_nothing(sets: tuple[dict, dict], protocol: str) -> None:
    predictions, targets = sets
    turned = {t: {**e, "vectors": [list(v)[::-1] for v in e["vectors"]]} for t, e in predictions.items()}
    before, after = (evaluate(p, targets, protocol, options=NO_DRAWS).ap for p in (predictions, turned))
    assert before == after


@settings(max_examples=60, deadline=None)
@given(frame_sets())
def test_ap_is_monotone_in_the_threshold(sets: tuple[dict, dict]) -> None:
    result = evaluate(*sets, options=NO_DRAWS)
    for label in range(len(result.classes)):
        aps = [result.ap[label, threshold] for threshold in (0.5, 1.0, 1.5)]
        assert aps == sorted(aps)


@settings(max_examples=60, deadline=None)
@given(frame_sets(), polyline, st.integers(0, 1))
def test_a_false_positive_below_all_scores_never_raises_ap(sets: tuple[dict, dict], line: list, label: int) -> None:
    predictions, targets = sets
    predictions = {t: {**e, "scores": [0.1 + 0.9 * s for s in e["scores"]]} for t, e in predictions.items()}
    more = copy.deepcopy(predictions)
    more["far"]["vectors"].append([(x - 900.0, y) for x, y in line])  # nowhere near a target
    more["far"]["labels"].append(label)
    more["far"]["scores"].append(0.0)
    before, after = (evaluate(p, targets, options=NO_DRAWS).ap for p in (predictions, more))
    assert all(after[key] <= before[key] for key in before)


def test_a_false_positive_above_all_scores_lowers_ap() -> None:
    predictions, targets = random_set(3)
    token = next(t for t in sorted(predictions))
    more = copy.deepcopy(predictions)
    more[token]["vectors"].insert(0, [[-900.0, 0.0], [-890.0, 0.0]])
    more[token]["labels"].insert(0, 0)
    more[token]["scores"].insert(0, 1.0)
    before, after = (evaluate(p, targets, options=NO_DRAWS).ap[0, 1.0] for p in (predictions, more))
    assert after < before


def test_scores_count_only_by_their_order() -> None:
    predictions, targets = random_set(4)
    squared = {t: {**e, "scores": np.square(e["scores"]).tolist()} for t, e in predictions.items()}
    assert evaluate(predictions, targets).ap == evaluate(squared, targets).ap
