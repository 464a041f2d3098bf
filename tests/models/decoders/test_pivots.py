"""SuperMapNet's parts: simplification, sequence matching, straight lines between pivots."""

import itertools

import numpy as np
import pytest
import torch

from mapstack.models.decoders.supermapnet.pivots import batch_pivots, visvalingam
from mapstack.models.decoders.supermapnet.sequence import interpolated_targets, sequence_costs, sequence_slots
from mapstack.models.decoders.supermapnet.straighten import straighten

from .problems import truth


def brute_force(points: torch.Tensor, pivots: torch.Tensor) -> tuple[float, tuple[int, ...]]:
    """The best monotone match with both ends fixed, by trying all."""
    last, count = len(points) - 1, len(pivots)

    def total(slots: tuple[int, ...]) -> float:
        gaps = (points[list(slots)] - pivots).abs().sum(-1)
        return float(gaps.sum() + 5 * (gaps[0] + gaps[-1])) / (count + 10)

    inner = itertools.combinations(range(1, last), count - 2)
    slots = min(((0, *middle, last) for middle in inner), key=total)
    return total(slots), slots


@pytest.mark.parametrize("count", [2, 3, 5, 7])
def test_sequence_matching_equals_brute_force(count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    points = torch.randn(2, 7, 2, generator=generator)
    pivots = torch.randn(2, 7, 2, generator=generator)  # those behind ``count`` must not matter
    counts = torch.full((1, 2), count)
    costs = sequence_costs(points[None], pivots[None], counts)
    slots = sequence_slots(points, pivots, counts[0])
    for row, column in itertools.product(range(2), range(2)):
        best, way = brute_force(points[row], pivots[column, :count])
        assert costs[0, row, column] == pytest.approx(best, rel=1e-5)
        if row == column:
            assert slots[row, :count].tolist() == list(way)


def test_slots_between_pivots_belong_on_the_straight_line() -> None:
    pivots = torch.tensor([[[0.0, 0], [4, 0], [4, 6], [9, 9]]])
    target, is_pivot = interpolated_targets(torch.tensor([[0, 2, 5, 5]]), pivots, torch.tensor([3]), 6)
    assert is_pivot[0].tolist() == [True, False, True, False, False, True]
    expected = torch.tensor([[0.0, 0], [2, 0], [4, 0], [4, 2], [4, 4], [4, 6]])
    torch.testing.assert_close(target[0], expected)


def test_straightened_polyline_has_the_pivots_and_no_other_corner() -> None:
    points = torch.tensor([[0.0, 0], [1, 5], [4, 0], [4, 2], [9, 9], [7, 7]])[None, None]
    logits = torch.tensor([-1.0, -1, 1, -1, -1, 3])[None, None]
    missing = torch.tensor([[False] * 4 + [True] * 2])
    result = straighten(points, logits, missing)[0, 0]
    torch.testing.assert_close(result, torch.tensor([[0.0, 0], [2, 0], [4, 0], [4, 2], [4, 2], [4, 2]]))
    whole = straighten(points, logits, torch.zeros(1, 6, dtype=torch.bool))[0, 0]
    torch.testing.assert_close(whole[[3, 4]], torch.tensor([[5.0, 7 / 3], [6.0, 14 / 3]]))


def test_simplification_keeps_corners_and_drops_what_is_straight() -> None:
    square = np.array([[0.0, 0], [5, 0.1], [10, 0], [10, 10], [0, 10], [0, 0]])
    line = np.array([[0.0, 0], [3, 0.01], [6, 0], [9, 3], [12, 3], [0, 0]])
    vertices, counts = np.stack([square, line]), np.array([6, 5])
    kept, numbers = visvalingam(vertices, counts, 2.0, np.array([4, 2]), np.array([10, 10]))
    assert numbers.tolist() == [5, 4]
    np.testing.assert_array_equal(kept[0, :5], square[[0, 2, 3, 4, 5]])
    np.testing.assert_array_equal(kept[1, :4], line[[0, 2, 3, 4]])
    np.testing.assert_array_equal(kept[1, 4:], line[[4, 4]])  # the last is repeated
    _, fewer = visvalingam(vertices, counts, 2.0, np.array([4, 2]), np.array([4, 2]))
    assert fewer.tolist() == [4, 2]


def test_pivots_are_padded_by_frame_and_start_where_the_canonical_order_does() -> None:
    frames = truth(2)
    found = batch_pivots([frames[0], frames[1]], torch.device("cpu"), (5, 6, 7), 0.1)
    assert found.target.points.shape[:3] == (2, 4, 1)
    assert found.pivots.shape == (2, 4, 7, 2)
    for frame in range(2):
        for element in range(4):
            count = found.counts[frame, element]
            line = found.target.points[frame, element, 0]
            torch.testing.assert_close(found.pivots[frame, element, 0], line[0])
            torch.testing.assert_close(found.pivots[frame, element, count - 1], line[-1])
            assert (found.pivots[frame, element, count:] == line[-1]).all()
    assert (found.counts[:, 0] <= 5).all() and (found.counts[:, 1] >= 4).all()
