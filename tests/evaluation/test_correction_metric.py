"""Reported, corrected and fused poses are measured against the true ones."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mapstack.errors import ConfigError, DataError
from mapstack.evaluation import CorrectionMetric
from mapstack.geometry.se3 import make_transform, rotation_z

GRAPH = {"absolute_m": 0.1, "absolute_rad": 0.003, "relative_m": 0.05, "relative_rad": 0.003}


def planar(x: float, y: float, yaw: float) -> np.ndarray:
    return make_transform(rotation_z(yaw), np.array([x, y, 0.0]))


def drive(found_error: list[tuple[float, float, float]], spread_m: list[float]) -> list[dict]:
    """Frames 4 m apart along a street that heads north-east, reported 2 m and 0.02 off, corrected but for an error."""
    samples = []
    for i, (error, spread) in enumerate(zip(found_error, spread_m, strict=True)):
        true, bev_from_prior = planar(3000.0 + 4 * i, 1000.0 + i, 0.7), planar(2.0, 0.0, 0.02)
        found = planar(*error) @ bev_from_prior
        numbers = [found[0, 3], found[1, 3], np.arctan2(found[1, 0], found[0, 0])]
        sample = {"token": f"t{i}", "scene": "s", "timestamp_ns": int(5e8) * i, "world_from_bev": true}
        sample |= {"bev_from_prior": bev_from_prior, "pose_correction": torch.tensor(numbers)}
        samples.append(sample | {"pose_covariance": torch.diag(torch.tensor([spread, 0.1, 0.005]) ** 2)})
    return samples


def score(samples: list[dict], **options: object) -> dict[str, float]:
    metric = CorrectionMetric(**options)
    metric.process(None, samples)
    return metric.compute_metrics(metric.results)


def test_errors_are_those_that_were_put_in(tmp_path: Path) -> None:
    metrics = score(drive([(0.0, 0.3, 0.0)] * 5, [0.1] * 5), out_dir=str(tmp_path))
    assert metrics["reported_m"] == pytest.approx(2.0) and metrics["reported_deg"] == pytest.approx(np.degrees(0.02))
    assert metrics["corrected_m"] == pytest.approx(0.3, abs=1e-6) and metrics["corrected_deg"] < 1e-4
    assert metrics["corrected_m_p90"] == pytest.approx(0.3, abs=1e-6) and "fused_m" not in metrics
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written == {f"correction/{key}": value for key, value in metrics.items()}


def test_the_graph_believes_each_frame_as_far_as_it_believes_itself() -> None:
    """Every other frame is 3 m off along the road, and says that it might be."""
    errors = [(3.0 * (i % 2), 0.0, 0.0) for i in range(12)]
    told = score(drive(errors, [3.0 if i % 2 else 0.1 for i in range(12)]), pose_graph=GRAPH)
    sure = score(drive(errors, [0.1] * 12), pose_graph=GRAPH)
    assert told["fused_m"] < 0.2 < 1.0 < sure["fused_m"]


def test_what_is_missing_is_named() -> None:
    sample = drive([(0.0, 0.0, 0.0)], [0.1])[0]
    for key in ("pose_correction", "bev_from_prior"):
        with pytest.raises(DataError, match="t0 has no pose_correction or no bev_from_prior"):
            CorrectionMetric().process(None, [{k: v for k, v in sample.items() if k != key}])
    with pytest.raises(ConfigError, match="CorrectionMetric"):
        CorrectionMetric(pose_graph={"absolute_m": -1})
