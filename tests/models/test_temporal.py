"""Time: what is seen once stays where it is in the world, and state goes only where the drives say."""

import math

import numpy as np
import pytest
import torch

from mapstack.geometry import BEVGrid
from mapstack.models.temporal import Past, QueryPropagation, StreamPlan, move_points, warp_bev
from mapstack.registry import MODELS
from mapstack.structures import MapDataSample

from .streams import GRID, NUM_CLASSES, NUM_POINTS, drive, pose, sample, streaming_mapper

DECODERS = ("MapTRDecoder", "RecallingDecoder")
FINE = BEVGrid((-16.0, -8.0, -5.0, 16.0, 8.0, 3.0), 0.25)
MOTIONS = {
    "still": np.eye(4),
    "ahead": pose(3.0, 0.0) - pose(0, 0) + np.eye(4),
    "turned": pose(2.0 - 2000, 1.0 - 1500, math.radians(25)),
    "turned and mirrored": pose(1.0 - 2000, -2.0 - 1500, math.radians(-70)) @ np.diag([1.0, -1.0, 1.0, 1.0]),
}


def pattern(points: np.ndarray) -> np.ndarray:
    """Two blobs of the world, none of them symmetric to anything: (...) from (..., 2) metres."""
    blobs = [(3.0, 2.0, 1.0), (-4.0, -1.5, 0.5)]
    return sum(height * np.exp(-(((points - (x, y)) ** 2).sum(-1)) / 2) for x, y, height in blobs)


@pytest.mark.parametrize("name", MOTIONS)
def test_a_pattern_of_the_world_stays_in_place_when_the_car_moves(name: str) -> None:
    """Drawn on the cells of the frame then, warped, it is what is drawn on the cells of the frame now."""
    previous_from_current = MOTIONS[name]
    centers = FINE.centers()
    before = torch.from_numpy(pattern(centers)).float()[None, None]
    homogeneous = np.concatenate([centers, np.zeros_like(centers[..., :1]), np.ones_like(centers[..., :1])], -1)
    seen_then = (homogeneous @ previous_from_current.T)[..., :2]
    inside = (np.abs(seen_then) < np.array([15.5, 7.5])).all(-1)
    warped = warp_bev(before, torch.from_numpy(previous_from_current).float()[None], FINE)[0, 0].numpy()
    np.testing.assert_allclose(warped[inside], pattern(seen_then)[inside], atol=0.02)
    assert inside.mean() > 0.4
    assert not warped[(np.abs(seen_then) > np.array([16.3, 8.3])).any(-1)].any(), "beyond the old map is nothing"
    if name != "still":
        assert np.abs(warped - before[0, 0].numpy()).max() > 0.3, "this motion proves nothing"


@pytest.mark.parametrize("name", MOTIONS)
def test_points_move_with_the_map(name: str) -> None:
    """The inverse way of the warp: where the frame now sees what the frame then saw."""
    motion = MOTIONS[name]
    then = np.random.default_rng(0).uniform(-8, 8, (2, 5, 4, 2))
    homogeneous = np.concatenate([then, np.zeros((2, 5, 4, 1)), np.ones((2, 5, 4, 1))], -1)
    now = (homogeneous @ np.linalg.inv(motion).T)[..., :2]
    motions = torch.from_numpy(np.stack([motion, np.eye(4)]))
    moved = move_points(torch.from_numpy(then), motions).numpy()
    np.testing.assert_allclose(moved[0], now[0], atol=1e-9)
    np.testing.assert_allclose(moved[1], then[1], atol=1e-12)
    lifted = torch.from_numpy(np.concatenate([then, np.full((2, 5, 4, 1), 1.7)], -1))
    np.testing.assert_allclose(move_points(lifted, motions)[..., 2].numpy(), 1.7)


def test_the_motion_is_exact_far_from_the_worlds_origin() -> None:
    frames = [sample("a", 0, pose(0, 0, 0.3)), sample("a", 1, pose(1.0, 0, 0.3))]
    for frame in frames:  # as far as nuScenes' Singapore lies, and further
        far = frame.world_from_bev.copy()
        far[:2, 3] += 3e5
        frame.set_metainfo({"world_from_bev": far})
    motion = StreamPlan(frames, None, 1.5).steps[1].previous_from_current[0]
    expected = [math.cos(-0.3), math.sin(-0.3)]  # a metre along the world's x, seen by a car turned by 0.3
    np.testing.assert_allclose(motion[:2, 3].numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(motion[:2, :2].numpy(), np.eye(2), atol=1e-6)


def steps_of(frames: list[MapDataSample], state: object = None) -> list[tuple[list[int], list[bool]]]:
    return [(step.rows, [p > 0 for p in step.parents]) for step in StreamPlan(frames, state, 1.5).steps]


def test_frames_continue_each_other_within_a_scene_and_in_time_only() -> None:
    clips = [sample("a", 0), sample("a", 1), sample("b", 0), sample("b", 1)]
    assert steps_of(clips) == [([0, 2], [False, False]), ([1, 3], [True, True])]
    assert steps_of([sample("a", 3), sample("a", 2)]) == [([0, 1], [False, False])], "time does not run backwards"
    assert steps_of([sample("a", 0), sample("a", 4)]) == [([0, 1], [False, False])], "2 s are too long a gap"
    assert steps_of([sample("a", 0), sample("a", 0)]) == [([0, 1], [False, False])], "two clips of one frame"
    assert steps_of([sample("a", 0), sample("a", 1), sample("a", 2)]) == [([0], [False]), ([1], [True]), ([2], [True])]


def test_however_a_drive_is_cut_into_batches_the_answer_is_the_same() -> None:
    model = streaming_mapper("RecallingDecoder").eval()
    frames = [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)]

    def answers(*batches: list[tuple[str, int]]) -> torch.Tensor:
        state, found = None, []
        with torch.no_grad():
            for batch in batches:
                samples, state = model.stream(drive(*batch), state)
                found += [torch.cat([s.pred.points.flatten(), s.pred.scores]) for s in samples]
        return torch.stack(found)

    one_by_one = answers(*[[frame] for frame in frames])
    torch.testing.assert_close(answers(frames), one_by_one, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(answers(frames[:2], frames[2:4], frames[4:]), one_by_one, rtol=1e-4, atol=1e-4)
    # Two drives side by side, then in their order again.
    side_by_side = answers([("a", 0), ("b", 0)], [("a", 1), ("b", 1)], [("a", 2)])
    torch.testing.assert_close(side_by_side[[0, 2, 4, 1, 3]], one_by_one, rtol=1e-4, atol=1e-4)


def test_the_past_counts_until_a_scene_ends_and_nothing_stays_on_the_module() -> None:
    model = streaming_mapper("RecallingDecoder").eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    attributes = {name: set(vars(module)) for name, module in model.named_modules()}

    def last(*batches: list[tuple[str, int]]) -> torch.Tensor:
        state = None
        with torch.no_grad():
            for batch in batches:
                samples, state = model.stream(drive(*batch), state)
        return samples[-1].pred.points

    alone = last([("a", 1)])
    assert not torch.allclose(last([("a", 0)], [("a", 1)]), alone, atol=1e-3), "the past has no say"
    torch.testing.assert_close(last([("b", 0)], [("a", 1)]), alone, rtol=0, atol=0)
    torch.testing.assert_close(last([("a", 4)], [("a", 1)]), alone, rtol=0, atol=0)
    batch = drive(("a", 0), ("a", 1))
    with torch.no_grad():
        plain = model.test_step(batch)[-1].pred.points
    torch.testing.assert_close(plain, alone, rtol=1e-5, atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert {name: set(vars(module)) for name, module in model.named_modules()} == attributes


def test_a_streaming_model_begins_as_the_single_frame_one() -> None:
    """So that it can be trained from its weights."""
    single = streaming_mapper(temporal=False).eval()
    model = streaming_mapper().eval()
    torch.nn.init.zeros_(model.temporal.add.weight)
    missing, unexpected = model.load_state_dict(single.state_dict(), strict=False)
    assert not unexpected and all(name.startswith("temporal.") for name in missing)
    with torch.no_grad():
        streamed, _ = model.stream(drive(("a", 0), ("a", 1)), None)
        plain = single.test_step(drive(("a", 0), ("a", 1)))
    for one, other in zip(streamed, plain, strict=True):
        torch.testing.assert_close(one.pred.points, other.pred.points, rtol=1e-5, atol=1e-5)


def test_what_comes_in_for_a_frame_without_past_does_not_get_through() -> None:
    model = streaming_mapper().temporal.eval()
    bev = torch.randn(2, 8, 8, 16, generator=torch.Generator().manual_seed(0))
    spoilt = {"bev": torch.full((2, 8, 8, 16), torch.nan)}
    clean = Past.none(model.initial_memory(bev), bev)
    with torch.no_grad():
        expected, memory = model(bev, clean)
        found, spoilt_memory = model(bev, Past(spoilt, clean.valid, clean.previous_from_current))
    assert torch.equal(found, expected) and torch.equal(memory["bev"], spoilt_memory["bev"])


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_clip_teaches_through_time_and_every_weight_learns(decoder: str) -> None:
    model = streaming_mapper(decoder).train()
    for value in model.parameters():
        if not value.abs().sum():
            torch.nn.init.normal_(value, std=0.1)
    data = model.data_preprocessor(drive(("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1), ("b", 2)), True)
    losses = model(**data, mode="loss")
    sum(losses.values()).backward()
    without = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.abs().sum()]
    assert not without, f"no gradient: {without}"


def test_the_loss_of_a_clips_last_frame_reaches_its_first() -> None:
    model = streaming_mapper().temporal
    frames = [sample("a", step) for step in range(3)]
    bev = torch.randn(3, 8, 8, 16, generator=torch.Generator().manual_seed(0), requires_grad=True)
    plan = StreamPlan(frames, None, 1.5)
    outputs, _ = plan.unroll(model.initial_memory(bev), lambda rows, past: model(bev[rows], past))
    plan.in_batch_order(outputs)[2].square().sum().backward()
    assert bev.grad[0].abs().sum() > 0


def test_kept_queries_are_the_best_and_come_back_moved() -> None:
    torch.manual_seed(0)
    propagation = QueryPropagation(6, 2, NUM_POINTS, NUM_CLASSES)
    logits = torch.tensor([[[-3.0, 0, 0], [5.0, 0, 0], [0, 0, 2.0]]])
    points, feats = torch.randn(1, 3, NUM_POINTS, 2), torch.randn(1, 3, 6)
    kept = propagation.keep(logits, points, feats)
    assert torch.equal(kept["query_points"], points[:, [1, 2]]) and torch.equal(kept["query_feats"], feats[:, [1, 2]])
    assert kept.keys() == propagation.initial_memory(feats).keys()
    motion = torch.from_numpy(MOTIONS["turned"]).float()[None]
    moved_feats, moved, scores = propagation(Past(kept, torch.tensor([True]), motion))
    torch.testing.assert_close(moved, move_points(points[:, [1, 2]], motion))
    assert torch.equal(moved_feats, feats[:, [1, 2]]), "untrained, the update must not touch the features"
    torch.testing.assert_close(scores, logits[:, [1, 2]].sigmoid())
    assert not any(value.any() for value in propagation(Past(kept, torch.tensor([False]), motion)))


def test_the_grid_that_is_warped_is_the_tasks() -> None:
    assert streaming_mapper().temporal.grid == BEVGrid(**GRID)
    assert MODELS.get("StreamingBEV") is not None
