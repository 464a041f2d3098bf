"""What holds for every decoder: gradients, invariance to equivalent truth, empty frames, independent frames."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from mapstack.errors import ConfigError
from mapstack.models.decoders.proposals import _largest
from mapstack.structures import MapElements

from .problems import DECODERS, NUM_POINTS, bev, build, elements, truth

every_decoder = pytest.mark.parametrize("name", DECODERS)


def fill_zeros(model: torch.nn.Module) -> None:
    """A weight that starts at zero would hide what lies before it."""
    for value in model.parameters():
        if not value.abs().sum():
            torch.nn.init.normal_(value, std=0.1)


@every_decoder
def test_gradient_reaches_every_parameter(name: str) -> None:
    decoder = build(name)
    fill_zeros(decoder)
    losses = decoder.loss(bev(3), [*truth(2), elements([], [], [], [])])
    assert all(torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    without = [key for key, value in decoder.named_parameters() if value.grad is None or not value.grad.abs().sum()]
    assert not without, f"no gradient: {without}"


@every_decoder
def test_frames_without_elements_train(name: str) -> None:
    losses = build(name).loss(bev(2), [elements([], [], [], [])] * 2)
    assert all(torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()


@every_decoder
def test_a_frame_decodes_the_same_alone_and_in_a_batch(name: str) -> None:
    decoder = build(name).eval()
    fill_zeros(decoder)
    with torch.no_grad():
        together, alone = decoder(bev(3)), decoder(bev(3)[1:2])
    for key, value in alone.items():
        torch.testing.assert_close(value[0], together[key][1], rtol=1e-4, atol=1e-4)


def changed(frame: MapElements, index: int, order: list[int]) -> MapElements:
    points = frame.points.clone()
    points[index] = points[index, order]
    return replace(frame, points=points)


def turned(start: int, back: bool) -> list[int]:
    order = [(start + i) % (NUM_POINTS - 1) for i in range(NUM_POINTS)]
    return order[::-1] if back else order


BACK = list(range(NUM_POINTS))[::-1]
ALLOWED: dict[str, Callable[[MapElements], MapElements]] = {
    "open line reversed": lambda frame: changed(frame, 0, BACK),
    "ring from another start": lambda frame: changed(frame, 1, turned(3, False)),
    "ring the other way": lambda frame: changed(frame, 1, turned(5, True)),
    "elements in another order": lambda frame: elements(
        [frame.points[i] for i in (2, 0, 3, 1)], [2, 0, 2, 1], [False, False, False, True], [True, False, True, False]
    ),
}
FORBIDDEN: dict[str, Callable[[MapElements], MapElements]] = {
    "directed line reversed": lambda frame: changed(frame, 2, BACK),
    "points of a line swapped": lambda frame: changed(frame, 0, [0, 6, 5, 3, 4, 2, 1, 7]),
    "points of a ring swapped": lambda frame: changed(frame, 1, [0, 4, 2, 3, 1, 5, 6, 7]),
}


def total_loss(decoder: torch.nn.Module, frames: list[MapElements]) -> float:
    with torch.no_grad():
        return float(sum(decoder.loss(bev(1), frames).values()))


@every_decoder
def test_loss_knows_which_orders_mean_the_same(name: str) -> None:
    """Noised copies are drawn from the given order, so denoising is off; everything else must not see it."""
    changes = {"denoising": None} if "denoising" in DECODERS[name] else {}
    decoder = build(name, **changes).eval()
    fill_zeros(decoder)
    (frame,) = truth(1)
    base = total_loss(decoder, [frame])
    for what, change in ALLOWED.items():
        assert total_loss(decoder, [change(frame)]) == pytest.approx(base, rel=1e-5), what
    for what, change in FORBIDDEN.items():
        assert abs(total_loss(decoder, [change(frame)]) - base) > 1e-4 * base, what


@pytest.mark.parametrize("name", [name for name, config in DECODERS.items() if "one_to_many" in config])
def test_one_to_many_queries_do_not_change_the_others(name: str) -> None:
    changes = {"denoising": None} if "denoising" in DECODERS[name] else {}
    decoder = build(name, **changes).eval()
    fill_zeros(decoder)
    with torch.no_grad():
        both = decoder.loss(bev(), truth())
        decoder.one_to_many = None
        alone = decoder.loss(bev(), truth())
    assert any("many" in key for key in both)
    for key, value in alone.items():
        torch.testing.assert_close(both[key], value, rtol=1e-4, atol=1e-5)


def test_predictions_keep_scales_and_edges_with_their_elements() -> None:
    decoder = build("maptrv2-3d-lanes", uncertainty=True).eval()
    fill_zeros(decoder)
    with torch.no_grad():
        output = decoder(bev())
        sample = decoder.predict(output)[1]
    assert decoder.output_names == ("logits", "points", "scales", "topology")
    assert sample.points.shape == sample.scales.shape == (6, NUM_POINTS, 3)
    for row in range(len(sample)):
        (query,) = (output["logits"][1].sigmoid() == sample.scores[row]).any(1).nonzero()[0]
        torch.testing.assert_close(sample.scales[row], output["scales"][1, query])
        if sample.labels[row] != 2:
            assert not sample.topology[row].any() and not sample.topology[:, row].any()
    assert sample.topology.shape == (6, 6) and not sample.topology.diagonal().any()


def test_of_proposals_that_score_the_same_the_first_are_taken() -> None:
    """As ONNX defines it, so that an exported model takes the same ones; torch.topk promises no order."""
    values = torch.zeros(2, 4000)
    values[1, 5::7] = 1.0
    assert _largest(values, 40).tolist() == [list(range(40)), list(range(5, 285, 7))]


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ConfigError, match="proposals=True"):
        build("maptrv2", field=True)
    with pytest.raises(ConfigError, match="dims=4"):
        build("maptrv2", dims=4)
    with pytest.raises(ConfigError, match="crossing"):
        build("maptrv2-interaction", interaction={"levels": ("point", "crossing")})
    with pytest.raises(ConfigError, match="3 numbers each"):
        build("supermapnet", num_pivots=(2, 3))
    with pytest.raises(ConfigError, match="num_propagated=6"):
        build("streammapnet", num_propagated=6)
    with pytest.raises(ConfigError, match="lane_class 3"):
        build("maptrv2", lane_graph={"lane_class": 3})
