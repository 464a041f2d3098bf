"""VectorMapNet: truth as sequences, matching, gradients, and that it learns lines of different lengths by heart."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import shapely
import torch
from torch import nn

from mapstack.errors import ConfigError
from mapstack.evaluation import MapMetric
from mapstack.geometry import BEVGrid
from mapstack.geometry.polyline import resample
from mapstack.models.decoders.vectormapnet import KeypointMatcher, VectorMapNetDecoder, VertexCodec
from mapstack.models.decoders.vectormapnet.codec import END
from mapstack.models.decoders.vectormapnet.keypoints import KEYPOINTS, BoundingBox
from mapstack.models.decoders.vectormapnet.resample import resample_padded
from mapstack.models.decoders.vectormapnet.targets import ElementTargets, element_targets
from mapstack.registry import MODELS
from mapstack.structures import MapElements

from ..conftest import mapper_config, packed_batch
from .problems import CHANNELS, GRID, NUM_CLASSES, bev

CPU = torch.device("cpu")
TOKEN_M = 0.25
GLOBAL = {"type": "GlobalContext", "cell_m": 2.0}
VARIANTS: dict[str, dict] = {
    "box": {},
    "box, drawn": {"top_p": 0.9},
    "start-middle-end, learned queries": {"keypoints": "start_middle_end", "propose": False, "context": GLOBAL},
    "fine-tuning": {"condition_on": "detections", "truth_share": 0.0},
}
every_variant = pytest.mark.parametrize("name", VARIANTS)
# A line with a bend that no sampling at equal distances keeps, a ring, a directed lane of many vertices.
BENT = np.array([[-7.0, -3.0], [-1.0, -2.0], [-0.5, 1.0], [3.0, 1.25]])
RING = np.array([[2.0, -3.0], [6.0, -3.0], [6.0, -0.5], [2.0, -0.5], [2.0, -3.0]])
LANE = np.stack([np.linspace(6, -6, 40), 2.5 + np.sin(np.linspace(0, 3, 40))], 1)


def build(name: str = "box", **changes: object) -> VectorMapNetDecoder:
    torch.manual_seed(0)
    small = {"num_queries": 6, "num_lines": 5, "num_points": 8, "embed_dims": 16, "num_heads": 2, "num_samples": 2}
    small |= {"generator_layers": 2, "max_vertices": 8, "token_m": TOKEN_M, "length_weighted": (0,)}
    shared = {"type": "VectorMapNetDecoder", "grid": GRID, "cell_m": 1.0, "in_channels": CHANNELS}
    return MODELS.build({**shared, "num_classes": NUM_CLASSES, **small, **VARIANTS[name], **changes})


def fill_zeros(model: nn.Module) -> nn.Module:
    """A weight that starts at zero would hide what lies before it."""
    for value in model.parameters():
        if not value.abs().sum():
            nn.init.normal_(value, std=0.1)
    return model


def frame(*lines: tuple[np.ndarray, int, bool, bool]) -> MapElements:
    """Truth of (vertices, label, closed, directed)."""
    vertices = [np.asarray(line[0], dtype=float) for line in lines]
    return MapElements(
        points=torch.from_numpy(resample(vertices, 8)).float() if lines else torch.zeros(0, 8, 2),
        labels=torch.tensor([line[1] for line in lines], dtype=torch.long),
        closed=torch.tensor([line[2] for line in lines], dtype=torch.bool),
        directed=torch.tensor([line[3] for line in lines], dtype=torch.bool),
        vertices=vertices,
    )


def truth() -> list[MapElements]:
    return [
        frame((BENT, 0, False, False), (RING, 1, True, False), (LANE, 2, False, True)),
        frame((-BENT[:, ::-1] * (1, 0.5), 2, False, False)),
    ]


def targets(frames: list[MapElements], form: object = None, weighted: tuple[int, ...] = ()) -> ElementTargets:
    codec = VertexCodec(BEVGrid(**GRID), TOKEN_M)
    return element_targets(frames, codec, form or BoundingBox(), 8, weighted, CPU)


def test_tokens_reach_both_edges_and_are_never_further_off_than_half_a_token() -> None:
    codec = VertexCodec(BEVGrid(**GRID), TOKEN_M)
    assert codec.sizes == (65, 33) and codec.num_tokens == 66
    corners = torch.tensor([[-8.0, -4.0], [8.0, 4.0]])
    assert codec.encode(corners).tolist() == [[1, 1], [65, 33]]
    points = corners[0] + torch.rand(500, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([16.0, 8.0])
    assert (codec.decode(codec.encode(points)) - points).abs().max() <= TOKEN_M / 2 + 1e-5
    assert codec.encode(corners * 3).tolist() == [[1, 1], [65, 33]]
    x, y = codec.allowed()
    assert x.all() and y.sum() == 33 and not y[END]
    with pytest.raises(ConfigError, match="token_m"):
        VertexCodec(BEVGrid(**GRID), 0.3)


ALLOWED: dict[str, Callable[[], MapElements]] = {
    "line reversed": lambda: frame((BENT[::-1], 0, False, False), (RING, 1, True, False), (LANE, 2, False, True)),
    "ring from another corner": lambda: frame(
        (BENT, 0, False, False), (np.roll(RING[:-1], 2, 0)[[0, 1, 2, 3, 0]], 1, True, False), (LANE, 2, False, True)
    ),
    "ring the other way": lambda: frame((BENT, 0, False, False), (RING[::-1], 1, True, False), (LANE, 2, False, True)),
    "another order of elements": lambda: frame((LANE, 2, False, True), (RING, 1, True, False), (BENT, 0, False, False)),
    "a vertex more on a straight edge": lambda: frame(
        (BENT, 0, False, False), (np.insert(RING, 1, [4, -3], 0), 1, True, False), (LANE, 2, False, True)
    ),
}
FORBIDDEN: dict[str, Callable[[], MapElements]] = {
    "directed line reversed": lambda: frame(
        (BENT, 0, False, False), (RING, 1, True, False), (LANE[::-1], 2, False, True)
    ),
    "vertices of a line swapped": lambda: frame(
        (BENT[[0, 2, 1, 3]], 0, False, False), (RING, 1, True, False), (LANE, 2, False, True)
    ),
    "corners of a ring swapped": lambda: frame(
        (BENT, 0, False, False), (RING[[0, 2, 1, 3, 4]], 1, True, False), (LANE, 2, False, True)
    ),
}


def total_loss(name: str, first: MapElements) -> float:
    decoder = fill_zeros(build(name)).eval()  # in training the given tokens are jittered
    with torch.no_grad():
        losses = decoder.loss(bev(2), [first, truth()[1]])
    # The field learns from points sampled along an element, which are others where a ring begins elsewhere.
    return float(sum(value for key, value in losses.items() if key != "loss_field"))


@pytest.mark.parametrize("change", ALLOWED)
def test_equivalent_truth_gives_the_same_loss(change: str) -> None:
    for name in ("box", "start-middle-end, learned queries"):
        assert total_loss(name, ALLOWED[change]()) == pytest.approx(total_loss(name, truth()[0]), rel=1e-6)


@pytest.mark.parametrize("change", FORBIDDEN)
def test_other_truth_gives_another_loss(change: str) -> None:
    before, after = total_loss("box", truth()[0]), total_loss("box", FORBIDDEN[change]())
    assert abs(after - before) > 1e-4 * before


def test_sequences_describe_the_exact_vertices() -> None:
    made = targets(truth(), weighted=(0,))
    codec = VertexCodec(BEVGrid(**GRID), TOKEN_M)
    assert made.keypoints.valid.tolist() == [[True] * 3, [True, False, False]]
    torch.testing.assert_close(made.weights.sum(-1), made.keypoints.valid.float())
    for element, vertices in enumerate((BENT, RING, LANE)):
        tokens = made.tokens[0, element]
        count = int((tokens[::2] != END).sum())
        assert made.weights[0, element].count_nonzero() == 2 * count + 1, "every token counts, and the end"
        line = shapely.LineString(codec.decode(tokens[: 2 * count].view(-1, 2)).numpy())
        assert max(line.distance(shapely.Point(vertex)) for vertex in vertices) < TOKEN_M * (0.5 + 0.5**0.5)
    bent = made.tokens[0, 0]
    assert (bent[::2] != END).sum() == 4, "a line keeps its corners and gets no vertex more"
    edges = np.linalg.norm(np.diff(BENT, axis=0), axis=1)
    expected = (edges[0] + edges[1]) / (2 * edges.sum()) * (1 - 1 / 8) / 2
    assert float(made.weights[0, 0, 2]) == pytest.approx(expected, rel=0.02)
    assert float(made.weights[0, 0, 8]) == pytest.approx(1 / 8)
    assert float(made.weights[0, 1, 0]) == pytest.approx(1 / 11)


def test_long_and_tiny_elements_keep_to_the_limits() -> None:
    waves = np.stack([np.linspace(-7, 7, 90), 3 * np.sin(np.linspace(0, 30, 90))], 1)
    dot = np.array([[1.0, 1.0], [1.01, 1.02]])
    made = targets([frame((waves, 0, False, False), (dot, 1, False, False))])
    assert (made.tokens[0, :, ::2] != END).sum(-1).tolist() == [8, 2]


def test_keypoints_are_where_the_element_is() -> None:
    boxes = targets(truth()).keypoints.points[0, :, 0]
    torch.testing.assert_close(boxes[0], torch.tensor([[-7.0, -3.0], [3.0, 1.25]]))
    spans = targets(truth(), KEYPOINTS["start_middle_end"]()).keypoints.points[0, :, 0]
    torch.testing.assert_close(spans[0, [0, 2]], torch.tensor([[-7.0, -3.0], [3.0, 1.25]]))
    torch.testing.assert_close(spans[1], torch.tensor([[2.0, -3.0], [6.0, -0.5], [2.0, -3.0]]))
    torch.testing.assert_close(spans[2, 0], torch.from_numpy(LANE[0]).float())
    assert BoundingBox().tidy(torch.tensor([[3.0, -1.0], [1.0, 2.0]])).tolist() == [[1.0, -1.0], [3.0, 2.0]]


@pytest.mark.parametrize("form", KEYPOINTS)
def test_matching_equals_brute_force(form: str) -> None:
    target = targets(truth(), KEYPOINTS[form]()).keypoints
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 4, NUM_CLASSES, generator=generator)
    points = torch.randn(2, 4, *target.points.shape[-2:], generator=generator) * 4
    matcher = KeypointMatcher()
    match, costs = matcher(logits, points, target), matcher.costs(logits, points, target)
    for number, count in enumerate((3, 1)):
        own = match.frame == number
        found = dict(zip(match.element[own].tolist(), match.query[own].tolist(), strict=True))
        best = min(
            itertools.permutations(range(4), count),
            key=lambda queries, cost=costs[number]: float(sum(cost[query, n] for n, query in enumerate(queries))),
        )
        assert [found[element] for element in range(count)] == list(best)


def test_matching_knows_overlap_class_and_distance() -> None:
    target = targets(truth()).keypoints
    right = target.points[:, :, 0]
    logits = torch.zeros(2, 3, NUM_CLASSES)
    matcher = KeypointMatcher()
    exact = matcher.costs(logits, right, target)[0]
    assert (exact.argmin(0) == torch.arange(3)).all()
    apart = matcher.costs(logits, right + 1.0, target)[0]
    assert (apart.diagonal() > exact.diagonal() + 0.7 * 2.0).all(), "2 m by the distance, and less overlap"
    sure = logits.clone()
    sure[0, 0, 0] = 3.0
    assert matcher.costs(sure, right, target)[0, 0, 0] < exact[0, 0]


@every_variant
def test_gradient_reaches_every_parameter(name: str) -> None:
    decoder = fill_zeros(build(name))
    if decoder.detector.proposals is not None:  # corners that all have to move outwards would cancel out in a bias
        nn.init.constant_(decoder.detector.proposals.offsets[-1].bias, 0.3)
    losses = decoder.loss(bev(3), [*truth(), frame()])
    assert all(torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    without = [key for key, value in decoder.named_parameters() if value.grad is None or not value.grad.abs().sum()]
    assert not without, f"no gradient: {without}"


def test_frames_without_elements_train() -> None:
    losses = build().loss(bev(2), [frame(), frame()])
    assert all(torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()


def test_fine_tuning_writes_from_what_was_detected() -> None:
    """With detections the vertex loss moves with the detector's answer; with the truth, or all spared, it does not."""
    losses = {}
    for condition, share in (("truth", 0.0), ("detections", 1.0), ("detections", 0.0)):
        for shift in (0.0, 2.0):
            decoder = build(condition_on=condition, truth_share=share).eval()
            nn.init.constant_(decoder.detector.refine[-1][-1].bias, shift)
            with torch.no_grad():
                losses[condition, share, shift] = float(decoder.loss(bev(2), truth())["loss_vertex"])
    assert losses["truth", 0.0, 0.0] == losses["truth", 0.0, 2.0] == losses["detections", 1.0, 2.0]
    assert losses["detections", 0.0, 0.0] != losses["detections", 0.0, 2.0]


def test_padded_polylines_are_resampled_as_ragged_ones() -> None:
    generator = np.random.default_rng(0)
    lines = [generator.normal(size=(count, 2)) * 5 for count in (2, 3, 8, 5)] + [np.ones((2, 2))]
    padded = torch.full((len(lines), 8, 2), 99.0)
    for row, line in zip(padded, lines, strict=True):
        row[: len(line)] = torch.from_numpy(line)
    counts = torch.tensor([len(line) for line in lines])
    made = resample_padded(padded[None], counts[None], 7)[0]
    torch.testing.assert_close(made, torch.from_numpy(resample(lines, 7)).float(), rtol=1e-5, atol=1e-5)


def test_it_learns_lines_of_different_lengths_by_heart_and_they_are_scored_as_written() -> None:
    decoder = build(embed_dims=32, noise_prob=0.0)
    seen, frames = bev(2), truth()
    optimizer = torch.optim.AdamW(decoder.parameters(), 1e-2, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=120)
    for _ in range(120):
        optimizer.zero_grad()
        sum(decoder.loss(seen, frames).values()).backward()
        nn.utils.clip_grad_norm_(decoder.parameters(), 5.0)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        found = decoder.predict(decoder(seen))
    for prediction, expected in zip(found, frames, strict=True):
        sure = [int(i) for i in (prediction.scores > 0.5).nonzero()]
        assert sorted(prediction.labels[sure].tolist()) == sorted(expected.labels.tolist())
        for element, label in enumerate(expected.labels.tolist()):
            line = next(prediction.vertices[i] for i in sure if prediction.labels[i] == label)
            assert shapely.LineString(line).hausdorff_distance(shapely.LineString(expected.vertices[element])) < 0.4
    lengths = {len(line) for prediction in found for line in prediction.vertices[:1]}
    assert all(2 <= length <= 8 for length in lengths)
    assert {len(found[0].vertices[i]) for i in (found[0].scores > 0.5).nonzero()} >= {4, 5}
    metric = MapMetric(replicates=0)
    metric.dataset_meta = {"classes": ("a", "b", "c")}
    pairs = zip(found, frames, strict=True)
    metric.process(None, [{"token": str(i), "pred": pred, "gt": gt} for i, (pred, gt) in enumerate(pairs)])
    assert metric.evaluate(2)["maptr/mAP"] == 1.0


def test_a_mapper_trains_predicts_and_names_its_outputs_with_it() -> None:
    config = mapper_config(camera=False)
    small = {"num_queries": 6, "num_lines": 4, "embed_dims": 16, "max_vertices": 5}
    config["decoder"] = {"type": "VectorMapNetDecoder", **small}
    model = MODELS.build(config)
    batch = packed_batch((3, 0), camera=False)
    losses = model(**model.data_preprocessor(batch, True), mode="loss")
    sum(losses.values()).backward()
    assert model.decoder.generator.head.weight.grad.abs().sum() > 0
    with torch.no_grad():
        first = model.eval()(**model.data_preprocessor(batch), mode="predict")[0].pred
    assert len(first) == 4 and first.points.shape == (4, 20, 2) and len(first.vertices) == 4
    assert model.export_extra_names == ("scales", "vertices", "counts")
