import numpy as np
import pytest
import torch

from mapstack.maps.patch import MapPatch
from mapstack.structures import MapElements
from mapstack.visualization import DrawnMap

CLASSES = ("divider", "boundary")
LINES = [np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 3.0]]), np.array([[1.0, 1.0, 0.5], [2.0, 1.0, 0.7]])]


def test_segments_put_flat_lines_at_the_road_and_keep_the_height_of_others() -> None:
    ends, owners = DrawnMap(LINES, np.array([0, 1]), CLASSES).segments(height_m=-0.3)
    assert owners.tolist() == [0, 0, 1]
    assert ends[:2, :, 2].tolist() == [[-0.3, -0.3], [-0.3, -0.3]]
    assert ends[2].tolist() == [[1.0, 1.0, 0.5], [2.0, 1.0, 0.7]]


def test_an_empty_map_has_no_segment() -> None:
    empty = DrawnMap.from_patch(MapPatch([], np.zeros(0, int), np.zeros(0, bool), CLASSES, {}))
    ends, owners = empty.segments()
    assert len(empty) == 0 and ends.shape == (0, 2, 3) and owners.shape == (0,)


def test_truth_is_drawn_from_its_exact_vertices() -> None:
    patch = MapPatch(LINES[:1], np.array([1]), np.array([False]), CLASSES, {})
    drawn = DrawnMap.from_elements(MapElements.from_patch(patch, 7), CLASSES, min_score=0.9)
    assert drawn.scores is None and drawn.vertices[0] is LINES[0] and drawn.labels.tolist() == [1]


def test_predictions_below_the_score_are_left_out() -> None:
    elements = MapElements(torch.zeros(3, 5, 2), torch.tensor([0, 1, 1]), torch.tensor([0.9, 0.1, 0.5]))
    drawn = DrawnMap.from_elements(elements, CLASSES, min_score=0.5)
    assert drawn.labels.tolist() == [0, 1] and len(drawn.vertices) == 2
    vectors = {"vectors": [[[0, 0], [1, 0]]] * 2, "labels": [0, 1], "scores": [0.2, 0.7]}
    assert DrawnMap.from_vectors(vectors, CLASSES, 0.3).labels.tolist() == [1]
    assert len(DrawnMap.from_vectors({"vectors": [], "labels": [], "scores": []}, CLASSES)) == 0


@pytest.mark.parametrize(
    ("labels", "scores", "message"), [([0], None, "2 polylines"), ([0, 5], None, "5"), ([0, 1], [0.5], "1 scores")]
)
def test_what_does_not_fit_together_is_refused(labels: list[int], scores: list | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DrawnMap(LINES, np.array(labels), CLASSES, None if scores is None else np.array(scores))
