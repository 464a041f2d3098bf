"""Interaction, lane graph, uncertainty and propagated queries, each by itself."""

import math
from functools import partial

import pytest
import torch

from mapstack.geometry import BEVGrid
from mapstack.models.decoders.deformable import BEVDeformableAttention
from mapstack.models.decoders.interaction import InteractionLayer
from mapstack.models.decoders.lane_graph import LaneGraphHead, true_successors
from mapstack.models.decoders.layers import Tokens
from mapstack.models.decoders.uncertainty import LaplaceHead
from mapstack.models.losses import laplace_loss
from mapstack.models.matching import Assignment, assign, batch_targets
from mapstack.models.temporal import Past

from .problems import GRID, bev, build, truth


def layer(**options: object) -> InteractionLayer:
    torch.manual_seed(0)
    look = partial(BEVDeformableAttention, BEVGrid(**GRID), 16, 4, 2)
    return InteractionLayer(16, 4, look, **options).eval()


def moved_by(module: InteractionLayer, change: str) -> tuple[set[int], set[int]]:
    """Which elements' points, and which elements, differ when points (or the token) of element 0 do; heads' view."""
    generator = torch.Generator().manual_seed(1)
    x, e = torch.randn(1, 3, 5, 16, generator=generator), torch.randn(1, 3, 16, generator=generator)
    position, value = torch.zeros(1, 3, 5, 16), torch.randn(1, 16, 8, 16, generator=generator)
    where = (torch.zeros(1, 3, 5, 2), torch.zeros(1, 3, 1, 2))
    other = Tokens(x.clone(), e.clone())
    # Of one row alone, not of all: a norm takes out what is added to every channel.
    (other.points[0, 0, 0] if change == "points" else other.elements[0, 0]).copy_(torch.randn(16, generator=generator))
    with torch.no_grad():
        before = module(Tokens(x, e), position, where, value)[1]
        after = module(other, position, where, value)[1]
    points = (before.points - after.points).abs().amax((0, 2, 3)) > 1e-5
    elements = (before.elements - after.elements).abs().amax((0, 2)) > 1e-5
    return set(points.nonzero()[:, 0].tolist()), set(elements.nonzero()[:, 0].tolist())


def test_each_level_reaches_whom_it_should() -> None:
    assert moved_by(layer(levels=("point",)), "points") == ({0}, set())
    assert moved_by(layer(levels=("point",), own_points=False), "points") == ({0, 1, 2}, set())
    assert moved_by(layer(levels=("element",)), "element") == (set(), {0, 1, 2})
    assert moved_by(layer(levels=("cross",)), "points") == ({0}, {0})
    assert moved_by(layer(levels=("cross",)), "element") == ({0}, {0})
    assert moved_by(layer(levels=("cross",), own_points=False), "points") == ({0}, {0, 1, 2})
    assert moved_by(layer(levels=()), "points") == ({0}, set())


def test_feed_back_decides_what_the_next_layer_gets() -> None:
    tokens = Tokens(torch.randn(1, 3, 5, 16), torch.randn(1, 3, 16))
    args = (torch.zeros(1, 3, 5, 16), (torch.zeros(1, 3, 5, 2), torch.zeros(1, 3, 1, 2)), torch.randn(1, 16, 8, 16))
    with torch.no_grad():
        following, shown = layer(feed_back=True)(tokens, *args)
        dropped, also_shown = layer(feed_back=False)(tokens, *args)
    assert torch.equal(following.points, shown.points)
    assert torch.equal(shown.points, also_shown.points)  # the heads see the same
    assert not torch.allclose(dropped.points, shown.points)


def test_one_to_many_gives_each_element_its_share_and_no_query_twice() -> None:
    cost = torch.rand(2, 7, 3, generator=torch.Generator().manual_seed(0))
    valid = torch.tensor([[True, True, False], [True, True, True]])
    frame, query, element = assign(cost, valid, repeats=2)
    assert len(set(zip(frame.tolist(), query.tolist(), strict=True))) == len(frame) == 4 + 6
    for number, count in ((0, 2), (1, 3)):
        assert element[frame == number].bincount(minlength=count).tolist() == [2] * count


def test_successors_are_lanes_that_meet() -> None:
    target = batch_targets(truth(2), torch.device("cpu"))
    edges = true_successors(target, lane_class=2)
    assert edges.sum((1, 2)).tolist() == [1, 1] and edges[:, 2, 3].all()
    assert not true_successors(target, lane_class=1).any()


def test_lane_graph_loss_is_least_for_the_true_edges() -> None:
    head = LaneGraphHead(8, lane_class=2, num_classes=3)
    target = batch_targets(truth(1), torch.device("cpu"))
    number = torch.arange(4)
    match = Assignment(torch.zeros(4, dtype=torch.long), number + 1, number, torch.zeros(4, dtype=torch.long))
    right = torch.full((1, 6, 6), -9.0)
    right[0, 3, 4] = 9.0
    wrong = right.transpose(1, 2)
    assert head.loss(right, target, match) < 1e-3 < head.loss(wrong, target, match)
    nobody = Assignment(*(torch.zeros(0, dtype=torch.long) for _ in range(4)))
    assert head.loss(right, target, nobody) == 0


def test_likelihood_is_best_at_the_mean_error_and_does_not_move_points() -> None:
    points = torch.zeros(1, 4, 2, requires_grad=True)
    target = torch.tensor([[[0.5, 0.1], [1.5, 0.1], [0.2, 0.3], [0.2, 0.3]]])
    mean = target.abs().mean()
    losses = [
        laplace_loss(torch.full_like(target, float(mean * factor)), points, target, torch.tensor(1.0))
        for factor in (0.7, 1.0, 1.4)
    ]
    assert losses[1] < losses[0] and losses[1] < losses[2]
    assert losses[1].item() == pytest.approx(1 + math.log(2 * mean), rel=1e-5)
    scales = torch.ones(1, 4, 2, requires_grad=True)
    laplace_loss(scales, points, target, torch.tensor(1.0)).backward()
    assert points.grad is None and scales.grad.abs().sum() > 0


def test_scales_are_positive_and_follow_the_calibrated_factor() -> None:
    head = LaplaceHead(8, 2)
    torch.nn.init.normal_(head.head[-1].weight, std=5.0)
    tokens = torch.randn(3, 8) * 10
    before = head(tokens)
    head.factor.fill_(2.5)
    assert (before > 0).all()
    torch.testing.assert_close(head(tokens), 2.5 * before)


def test_best_queries_travel_with_the_car() -> None:
    """Refinement starts at zero, so what is carried in comes out where the motion puts it."""
    decoder = build("streammapnet", num_propagated=2).eval()
    assert decoder.streams
    with torch.no_grad():
        first = decoder(bev(), Past.none(decoder.initial_memory(bev()), bev()))
        torch.testing.assert_close(first["points"], decoder(bev())["points"].gather(1, ranked(decoder, first)))
        motion = torch.eye(4).repeat(2, 1, 1)
        motion[:, 0, 3] = 1.5  # the car has driven on, so things lie further back
        past = Past(first["memory"], torch.tensor([True, False]), motion)
        second = decoder(bev(), past)
    moved = first["memory"]["query_points"][0] - torch.tensor([1.5, 0.0])
    torch.testing.assert_close(second["points"][0, -2:], moved)
    torch.testing.assert_close(second["points"][1], first["points"][1])


def ranked(decoder: torch.nn.Module, output: dict[str, torch.Tensor]) -> torch.Tensor:
    """Index that sorts queries as a streaming decoder does behind its first layer."""
    scene = decoder._scene(bev(), None, None)
    layers = decoder._decode(scene, decoder._main_queries(scene), None)
    best = layers[0]["logits"].sigmoid().amax(2).topk(output["points"].shape[1], dim=1).indices
    return best[..., None, None].expand_as(output["points"])


def test_a_decoder_learns_from_clips() -> None:
    decoder = build("streammapnet", num_propagated=2)
    for value in decoder.parameters():
        if not value.abs().sum():
            torch.nn.init.normal_(value, std=0.1)
    losses, memory = decoder.loss(bev(), truth(), Past.none(decoder.initial_memory(bev()), bev()))
    past = Past(memory, torch.ones(2, dtype=torch.bool), torch.eye(4).repeat(2, 1, 1))
    later, _ = decoder.loss(bev(seed=1), truth(), past)
    sum([*losses.values(), *later.values()]).backward()
    without = [key for key, value in decoder.named_parameters() if value.grad is None or not value.grad.abs().sum()]
    assert not without
