import math

import pytest

from mapstack.evaluation import evaluate
from mapstack.evaluation.average_precision import average_precision
from mapstack.evaluation.curves import rank_hits, score_frames

NEAR, FAR = [[0, 0], [20, 0]], [[0, 6], [20, 6]]
TARGETS = {
    "meta": {"classes": ["divider", "boundary"]},
    "results": {
        "a": {"vectors": [NEAR, FAR], "labels": [0, 1]},
        "b": {"vectors": [NEAR], "labels": [0]},
        "c": {"vectors": [], "labels": []},
    },
}
PREDICTIONS = {
    "a": {"vectors": [NEAR, [[0, 7.2], [20, 7.2]]], "labels": [0, 1], "scores": [0.9, 0.8]},
    "b": {"vectors": [FAR, NEAR], "labels": [0, 0], "scores": [0.7, 0.6]},
    "c": {"vectors": [NEAR], "labels": [0], "scores": [0.1]},
}


def test_ranked_hits_give_the_ap_that_the_score_reports() -> None:
    result = evaluate(PREDICTIONS, TARGETS)
    ranked = rank_hits(PREDICTIONS, TARGETS)
    assert {(item.label, item.threshold_m) for item in ranked} == set(result.ap)
    for item in ranked:
        assert average_precision(item.hits, item.num_targets) == pytest.approx(result.ap[item.label, item.threshold_m])
    assert ranked[0].hits.tolist() == [True, False, True, False] and ranked[0].num_targets == 2


def test_frames_are_scored_each_by_itself() -> None:
    scores = score_frames(PREDICTIONS, TARGETS)
    assert scores["a"] == pytest.approx((1 + 1 / 3) / 2)  # the boundary is 1.2 m off: found at 1.5 m alone
    assert scores["b"] == pytest.approx(0.5)
    assert math.isnan(scores["c"]) and list(scores) == ["a", "b", "c"]


def test_a_set_without_frames_has_no_scores() -> None:
    assert score_frames({}, {"meta": {"classes": ["divider"]}, "results": {}}) == {}
