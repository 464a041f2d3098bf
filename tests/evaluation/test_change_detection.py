"""Contradicted pieces against the list of changes, on numbers worked by hand."""

import numpy as np
import pytest

from mapstack.evaluation.change_detection import JudgedPieces, score_changes
from mapstack.maps.changes import MapChange


def line(y: float, x: float = 0.0, length: float = 20.0) -> np.ndarray:
    return np.array([(x, y), (x + length, y)])


CHANGES = [
    MapChange("shifted", "divider", "a", (0, 0), before=(line(0.0),), after=(line(1.0),), metres=1.0),
    MapChange("added", "ped_crossing", "b", (0, 0), after=(line(30.0),)),
    MapChange("removed", "divider", "c", (0, 0), before=(line(50.0),)),
    MapChange("uncovered", "", "tile", (0, 0), before=(line(70.0),)),
]
NAMES = ["divider", "divider", "ped_crossing", "divider"]
LINES = [line(1.0), line(5.0), line(30.0), line(50.0)]  # wrong, right, wrong, right


def test_perfect_scores_find_all_and_nothing_else() -> None:
    found = score_changes([JudgedPieces(LINES, NAMES, np.array([0.9, 0.1, 0.8, 0.2]))], CHANGES)
    assert (found.precision, found.recall, found.average_precision) == (1.0, 1.0, 1.0)
    assert (found.num_pieces, found.num_wrong, found.changes_seen, found.changes_found) == (4, 2, 2, 2)
    assert found.recall_by_operation == {"added": 1.0, "shifted": 1.0}


def test_precision_and_recall_by_hand_over_two_frames() -> None:
    frames = [
        JudgedPieces(LINES, NAMES, np.array([0.9, 0.7, 0.2, 0.1])),
        JudgedPieces(LINES[:2], NAMES[:2], np.array([0.4, 0.6])),
    ]
    found = score_changes(frames, CHANGES)
    # contradicted: 0.9 (wrong), 0.7 and 0.6 (right); the other two wrong pieces, 0.4 and 0.2, are missed
    assert found.precision == pytest.approx(1 / 3) and found.recall == pytest.approx(1 / 3)
    assert found.average_precision == pytest.approx((1 + 3 / 5 + 3 / 5) / 3)  # 2 / 4 is raised to what comes after
    assert (found.changes_seen, found.changes_found) == (2, 1)
    assert found.recall_by_operation == {"added": 0.0, "shifted": 1.0}


def test_nothing_contradicted_and_nothing_wrong_are_not_numbers() -> None:
    silent = score_changes([JudgedPieces(LINES, NAMES, np.zeros(4))], CHANGES)
    assert np.isnan(silent.precision) and silent.recall == 0.0
    unchanged = score_changes([JudgedPieces(LINES, NAMES, np.ones(4))], [])
    assert unchanged.precision == 0.0 and np.isnan(unchanged.recall) and np.isnan(unchanged.average_precision)
    empty = score_changes([], CHANGES)
    assert empty.num_pieces == 0 and np.isnan(empty.precision)


def test_a_class_is_not_blamed_for_another() -> None:
    found = score_changes([JudgedPieces([line(1.0)], ["boundary"], np.array([1.0]))], CHANGES)
    assert found.num_wrong == 0 and found.precision == 0.0


@pytest.mark.parametrize("scores", [np.array([0.5]), np.array([0.5, 1.2]), np.array([0.5, np.nan])])
def test_scores_that_are_none_are_refused(scores: np.ndarray) -> None:
    with pytest.raises(ValueError, match="scores"):
        JudgedPieces(LINES[:2], NAMES[:2], scores)
