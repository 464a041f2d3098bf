import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mapstack.errors import ConfigError, DataError
from mapstack.evaluation import PoseMetric
from mapstack.evaluation.pose_error import pose_errors
from mapstack.geometry.se3 import make_transform, rotation_z

GRAPH = {"absolute_m": 1.0, "absolute_rad": 0.05, "relative_m": 0.05, "relative_rad": 0.002, "window": 9}


def poses(count: int = 20) -> NDArray:
    return np.stack([make_transform(rotation_z(0.1 * i), np.array([5.0 * i, 0.1 * i * i, 1.0])) for i in range(count)])


def samples(odometry: bool = True, steps: int = 1) -> list[dict]:
    """Two drives; each prediction is off by a metre and three degrees somehow, the odometry is exact."""
    rng, found = np.random.default_rng(0), []
    for scene in ("a", "b"):
        true = poses()
        for i, pose in enumerate(true):
            shift = rng.normal(size=3)
            turn = Rotation.from_rotvec(rng.normal(size=3) * 0.03).as_matrix()
            pred = make_transform(pose[:3, :3] @ turn, pose[:3, 3] + shift / np.linalg.norm(shift))
            entry = {"token": f"{scene}{i}", "scene": scene, "timestamp_ns": i, "place": steps // 2, "labelled": True}
            around = {"poses": pose, "pred": pred}
            if odometry:
                around["odometry"] = np.linalg.inv(true[0]) @ pose
            for key, value in around.items():
                tuple_of = torch.zeros(steps, 4, 4, dtype=torch.float64)  # only the frame asked for is scored
                tuple_of[steps // 2] = torch.from_numpy(value)
                entry[key] = tuple_of
            found.append(entry)
    return found


def score(entries: list[dict], **options: object) -> dict[str, float]:
    metric = PoseMetric(**options)
    for i in range(0, len(entries), 7):
        metric.process(None, entries[i : i + 7])
    return metric.evaluate(len(entries))


def test_errors_by_hand() -> None:
    true = np.stack([np.eye(4)] * 4)
    found = true.copy()
    found[0, :3, 3] = (3, 4, 0)
    found[1, :3, :3] = rotation_z(np.radians(30))
    found[2, :3, :3] = rotation_z(np.pi)
    translation, rotation = pose_errors(found, true)
    np.testing.assert_allclose(translation, [5, 0, 0, 0])
    np.testing.assert_allclose(np.degrees(rotation), [0, 30, 180, 0], atol=1e-9)
    with pytest.raises(ValueError, match="N, 4, 4"):
        pose_errors(found, true[:3])


def test_medians_and_means_whatever_the_order_and_the_tuple() -> None:
    entries = samples()
    metrics = score(entries)
    assert metrics["pose/translation_m"] == pytest.approx(1.0)
    expected = np.degrees([pose_errors(e["pred"].numpy(), e["poses"].numpy())[1][0] for e in entries])
    assert metrics["pose/rotation_deg"] == pytest.approx(np.median(expected))
    assert metrics["pose/mean_rotation_deg"] == pytest.approx(expected.mean())
    assert score(samples(steps=3)[::-1]) == pytest.approx(metrics)
    assert len(metrics) == 4


def test_a_pose_graph_improves_what_odometry_can(tmp_path: Path) -> None:
    entries = samples()
    metrics = score(entries[::-1], pose_graph=GRAPH, out_dir=str(tmp_path))
    assert metrics["pose/fused_translation_m"] < 0.6
    assert metrics["pose/fused_rotation_deg"] < 0.6 * metrics["pose/rotation_deg"]
    assert metrics["pose/translation_m"] == pytest.approx(1.0)
    assert json.loads((tmp_path / "metrics.json").read_text()) == pytest.approx(metrics)
    written = json.loads((tmp_path / "predictions.json").read_text())
    np.testing.assert_allclose(written["predictions"]["b3"], entries[23]["pred"][0])
    assert written["fused"].keys() == {entry["token"] for entry in entries}


def test_drives_are_fused_apart() -> None:
    """The second drive elsewhere, its odometry unchanged: nothing may leak over the border between the two."""
    entries = samples()
    before = score(entries, pose_graph=GRAPH)
    for entry in entries[20:]:
        for key in ("poses", "pred"):
            entry[key][..., :3, 3] += 1000.0
    assert score(entries, pose_graph=GRAPH) == pytest.approx(before, abs=1e-3)


def test_missing_pieces_are_named() -> None:
    for wrong in ({"absolut_m": 1.0}, {**GRAPH, "relative_m": 0.0}):
        with pytest.raises(ConfigError, match=r"PoseMetric\.pose_graph"):
            PoseMetric(pose_graph=wrong)
    with pytest.raises(DataError, match="frame a0 has no odometry"):
        score(samples(odometry=False), pose_graph=GRAPH)
    entries = samples()
    entries[0]["labelled"] = False
    with pytest.raises(DataError, match="frame a0 has no true pose"):
        score(entries)
