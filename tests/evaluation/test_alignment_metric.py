"""What a fusion left of a made error: means over frames, nothing where nothing aligns, and no half of a set."""

import json
from pathlib import Path

import pytest

from mapstack.errors import DataError
from mapstack.evaluation import AlignmentMetric


def score(samples: list[dict], out_dir: Path) -> dict[str, float]:
    metric = AlignmentMetric(out_dir=str(out_dir))
    metric.process(None, samples)
    return metric.evaluate(len(samples))


def test_means_over_frames_are_returned_and_written(tmp_path: Path) -> None:
    samples = [
        {"misalignment_made_m": 0.5, "misalignment_left_m": 0.1},
        {"misalignment_made_m": 0.7, "misalignment_left_m": 0.3},
    ]
    expected = {"alignment/made_m": pytest.approx(0.6), "alignment/left_m": pytest.approx(0.2)}
    assert score(samples, tmp_path) == expected
    assert json.loads((tmp_path / "metrics.json").read_text()) == expected


def test_a_fusion_that_does_not_align_has_no_metric(tmp_path: Path) -> None:
    assert score([{}, {}], tmp_path) == {}


def test_frames_without_an_error_among_others_are_counted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 of 2 frames have no made error"):
        score([{"misalignment_made_m": 0.5, "misalignment_left_m": 0.1}, {}], tmp_path)
