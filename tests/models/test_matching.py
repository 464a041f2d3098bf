"""Targets, orders and matching against brute force."""

import itertools

import pytest
import torch

from mapstack.models.matching import PolylineMatcher, batch_targets, class_cost, order_costs
from mapstack.structures import MapElements


def elements(points: torch.Tensor, labels: list[int], closed: list[bool], directed: list[bool]) -> MapElements:
    return MapElements(
        points=points, labels=torch.tensor(labels), closed=torch.tensor(closed), directed=torch.tensor(directed)
    )


def ring(num_points: int = 7) -> torch.Tensor:
    angle = torch.linspace(0, 2 * torch.pi, num_points)
    return torch.stack([angle.cos() * 3, angle.sin() * 2], -1)


def test_open_element_costs_nothing_reversed_and_something_shuffled() -> None:
    line = torch.cumsum(torch.rand(1, 7, 2), 1)
    target = batch_targets([elements(line, [0], [False], [False])], torch.device("cpu"))
    cost, order = order_costs(torch.stack([line[0], line[0].flip(0), line[0].roll(1, 0)])[None], target)
    torch.testing.assert_close(cost[0, :2, 0], torch.zeros(2))
    assert order[0, 0, 0] == 0 and order[0, 1, 0] == 1
    assert cost[0, 2, 0] > 0.1


def test_directed_element_costs_something_reversed() -> None:
    line = torch.cumsum(torch.rand(1, 7, 2), 1)
    target = batch_targets([elements(line, [0], [False], [True])], torch.device("cpu"))
    cost, _ = order_costs(torch.stack([line[0], line[0].flip(0)])[None], target)
    assert cost[0, 0, 0] == 0 and cost[0, 1, 0] > 0.1


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("start", range(6))
def test_closed_element_costs_nothing_from_any_start_in_any_direction(start: int, flip: bool) -> None:
    corners = ring()
    turned = corners[:-1].roll(-start, 0)
    turned = torch.cat([turned, turned[:1]])
    turned = turned.flip(0) if flip else turned
    target = batch_targets([elements(corners[None], [0], [True], [False])], torch.device("cpu"))
    cost, order = order_costs(turned[None, None], target)
    assert cost[0, 0, 0] < 1e-6
    torch.testing.assert_close(target.points[0, 0, order[0, 0, 0]], turned)


def test_closed_element_costs_something_out_of_order() -> None:
    corners = ring()
    swapped = corners[[0, 2, 1, 3, 4, 5, 6]]
    target = batch_targets([elements(corners[None], [0], [True], [False])], torch.device("cpu"))
    assert order_costs(swapped[None, None], target)[0][0, 0, 0] > 0.1


def test_midpoint_does_not_depend_on_the_order() -> None:
    line = torch.cumsum(torch.rand(1, 8, 2), 1)
    for points in (line, line.flip(1)):
        target = batch_targets([elements(points, [0], [False], [False])], torch.device("cpu"))
        torch.testing.assert_close(target.midpoints()[0, 0], (line[0, 3] + line[0, 4]) / 2)


def test_matching_equals_brute_force() -> None:
    generator = torch.Generator().manual_seed(1)
    truth = elements(torch.randn(3, 5, 2, generator=generator) * 5, [0, 1, 2], [False] * 3, [False] * 3)
    target = batch_targets([truth], torch.device("cpu"))
    logits = torch.randn(1, 4, 3, generator=generator)
    points = torch.randn(1, 4, 5, 2, generator=generator) * 5
    matcher = PolylineMatcher(class_weight=2.0, point_weight=1.0)
    match = matcher(logits, points, target)
    distance, _ = order_costs(points, target)
    cost = (distance + 2.0 * class_cost(logits, target.labels))[0]

    def total(queries: tuple[int, ...]) -> float:
        return float(sum(cost[query, element] for element, query in enumerate(queries)))

    best = min(itertools.permutations(range(4), 3), key=total)
    found = dict(zip(match.element.tolist(), match.query.tolist(), strict=True))
    assert [found[element] for element in range(3)] == list(best)


def test_empty_frames_beside_full_ones_match_nothing() -> None:
    full = elements(torch.randn(2, 5, 2), [0, 1], [False] * 2, [False] * 2)
    none = elements(torch.zeros(0, 5, 2), [], [], [])
    none.closed = none.directed = torch.zeros(0, dtype=torch.bool)
    none.labels = torch.zeros(0, dtype=torch.long)
    target = batch_targets([none, full, none], torch.device("cpu"))
    match = PolylineMatcher()(torch.zeros(3, 4, 3), torch.zeros(3, 4, 5, 2), target)
    assert match.frame.tolist() == [1, 1]
    only_empty = batch_targets([none, none], torch.device("cpu"))
    assert len(PolylineMatcher()(torch.zeros(2, 4, 3), torch.zeros(2, 4, 5, 2), only_empty)) == 0


def test_truth_without_closed_is_refused() -> None:
    bare = MapElements(points=torch.zeros(1, 5, 2), labels=torch.zeros(1, dtype=torch.long))
    with pytest.raises(ValueError, match="closed and directed"):
        batch_targets([bare], torch.device("cpu"))
