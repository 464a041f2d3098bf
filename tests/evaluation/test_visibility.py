"""What the LiDAR hides, by hand; precision and recall by length, against a slow count; the metric on whole frames."""

import json

import numpy as np
import pytest
import torch

from mapstack.errors import DataError
from mapstack.evaluation import VisibilityMetric
from mapstack.evaluation.visibility import hidden_from, length_average_precision
from mapstack.structures import MapDataSample, MapElements

ORIGIN = np.array([0.0, 0.0, 2.0])


def along_x(*distances: float) -> np.ndarray:
    return np.array([[x, 0.1] for x in distances])


def test_what_stands_as_high_as_the_sensor_hides_everything_behind_it():
    wall = np.array([[10.0, 0.1, 2.5], [10.0, 0.1, 0.1]])
    assert hidden_from(along_x(3, 9.9, 12, 80), wall, ORIGIN).tolist() == [False, False, True, True]
    # Another azimuth, and the other side, are not hidden.
    assert not hidden_from(np.array([[12.0, 2.0], [-12.0, 0.1]]), wall, ORIGIN).any()


def test_a_low_thing_hides_a_stretch_that_ends():
    # 1 m high at 10 m, the sensor 2 m up: the ray over it meets the ground at 20 m.
    car = np.array([[10.0, 0.1, 1.0]])
    assert hidden_from(along_x(9, 12, 19, 21, 60), car, ORIGIN).tolist() == [False, True, True, False, False]
    from_there = hidden_from(along_x(9, 12, 19, 21, 60) + 5, car + [5, 5, 0], ORIGIN + [5, 5, 0])
    assert from_there.tolist() == [False, True, True, False, False]


def test_the_ground_itself_hides_nothing():
    ground = np.array([[x, 0.1, 0.2] for x in range(2, 60)], dtype=float)
    assert not hidden_from(along_x(5, 30, 59), ground, ORIGIN).any()
    assert hidden_from(np.zeros((0, 2)), ground, ORIGIN).shape == (0,)
    assert not hidden_from(along_x(5, 30), np.zeros((0, 3)), ORIGIN).any()


def slow_average_precision(scores: np.ndarray, hits: np.ndarray, found: np.ndarray) -> float:
    """One threshold after the other; precision is the best at that recall or beyond."""
    levels = sorted(set(scores), reverse=True)
    curve = [(np.mean(found >= level), np.mean(hits[scores >= level])) for level in levels]  # (recall, precision)
    area, before = 0.0, 0.0
    for place, (recall, _) in enumerate(curve):
        area += (recall - before) * max(precision for _, precision in curve[place:])
        before = recall
    return area


def test_average_precision_by_length_equals_a_slow_count():
    rng = np.random.default_rng(0)
    for _ in range(50):
        scores = rng.integers(0, 6, 40) / 5
        hits = rng.random(40) < 0.6
        found = np.where(rng.random(25) < 0.7, rng.choice(scores, 25), -np.inf)
        assert length_average_precision(scores, hits, found) == pytest.approx(
            slow_average_precision(scores, hits, found), abs=1e-12
        )
    assert np.isnan(length_average_precision(scores, hits, found[:0]))
    assert length_average_precision(scores[:0], hits[:0], found) == 0.0


def frame(token: str, shift_m: float, cloud: np.ndarray) -> tuple[torch.Tensor, MapDataSample]:
    """A divider 40 m ahead, drawn ``shift_m`` beside where it is; and a boundary that nobody drew."""
    line = torch.stack([torch.linspace(0.0, 40.0, 20), torch.full((20,), 0.1)], dim=1)
    away = line + torch.tensor([0.0, 8.0])
    gt = MapElements(points=torch.stack([line, away]), labels=torch.tensor([0, 1]))
    drawn = line + torch.tensor([0.0, shift_m])
    pred = MapElements(points=drawn[None], labels=torch.tensor([0]), scores=torch.tensor([0.9]))
    sample = MapDataSample(metainfo=dict(token=token, classes=("divider", "boundary"), lidar_origin=ORIGIN))
    sample.gt, sample.pred = gt, pred
    points = np.zeros((len(cloud), 5), np.float32)
    points[:, :3] = cloud
    return torch.from_numpy(points), sample


def scored(*frames: tuple[torch.Tensor, MapDataSample], **options) -> dict[str, float]:
    metric = VisibilityMetric(**options)
    metric.process({"inputs": {"points": [cloud for cloud, _ in frames]}}, [sample.to_dict() for _, sample in frames])
    return metric.compute_metrics(metric.results)


def test_regions_are_scored_apart(tmp_path):
    wall = np.array([[20.0, y, 3.0] for y in np.arange(-1.0, 1.4, 0.1)])
    metrics = scored(frame("a", 0.0, wall), frame("b", 0.0, wall), out_dir=str(tmp_path))
    assert metrics["seen_divider"] == metrics["hidden_divider"] == metrics["far_divider"] == 1.0
    assert metrics["seen_boundary"] == 0.0  # nobody drew it
    assert metrics["seen"] == 0.5
    assert metrics["hidden"] == 1.0, "the boundary is nowhere hidden, and does not count there"
    # Half of the divider lies behind the wall; the boundary is as long as the divider, and seen.
    assert metrics["hidden_share"] == pytest.approx(0.25, abs=0.02)
    assert metrics["far_share"] == pytest.approx(0.25, abs=0.04)
    assert json.loads((tmp_path / "metrics.json").read_text())["visibility/hidden"] == 1.0


def test_a_line_beside_the_truth_is_wrong_in_its_own_region():
    wall = np.array([[20.0, y, 3.0] for y in np.arange(-4.0, 4.0, 0.1)])
    # A true and a wrong drawing, equally sure: half of what is said is right, all of what is there is found by one.
    metrics = scored(frame("a", 0.0, wall), frame("b", 1.5, wall))
    assert metrics["hidden_divider"] == pytest.approx(0.25, abs=0.03)
    assert scored(frame("a", 1.5, wall), reach_m=2.0)["hidden_divider"] == 1.0


def test_frames_whose_sweep_was_lost_are_left_out():
    lost = frame("a", 1.5, np.zeros((0, 3)))
    assert scored(lost) == {"frames": 0}
    whole = frame("b", 0.0, np.array([[20.0, 0.1, 3.0]]))
    assert scored(lost, whole)["seen_divider"] == 1.0
    assert scored(lost, whole)["frames"] == 1


def test_a_pipeline_without_lidar_is_told_so():
    _, sample = frame("a", 0.0, np.zeros((1, 3)))
    with pytest.raises(DataError, match="token a has no LiDAR"):
        VisibilityMetric().process({"inputs": {"images": None}}, [sample.to_dict()])
