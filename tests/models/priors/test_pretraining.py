"""Pre-training restores vectors, its encoder starts a model, and its error is told in metres."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate

from mapstack.datasets.transforms import PackVectors, SpoilVectors
from mapstack.evaluation.change_metric import summarize_contradictions
from mapstack.evaluation.reconstruction import ReconstructionError, summarize_reconstruction
from mapstack.registry import MODELS
from mapstack.structures.vector_data_sample import SPOILT

from .problems import ENCODER, build_prior, gap, prior_map


def places(*counts: int, seed: int = 0) -> dict:
    steps = SpoilVectors(vector_share=0.2, point_share=0.2), PackVectors()
    frames = []
    for i, count in enumerate(counts):
        frame = {"prior": prior_map(count, seed + i), "seed": seed + i, "token": f"place-{i}"}
        for step in steps:
            frame = step(frame)
        frames.append(frame)
    return pseudo_collate(frames)


def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return MODELS.build({"type": "VectorPretraining", "encoder": ENCODER})


def test_what_was_spoilt_is_restored_by_learning() -> None:
    net = model()
    data = net.data_preprocessor(places(6, 0, 9))
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    curve = []
    for _ in range(60):
        losses = net(**data, mode="loss")
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        curve.append(float(losses["loss_spoilt"].detach()))
    assert curve[-1] < 0.5 * curve[0] and all(p.grad is not None for p in net.parameters())


@torch.no_grad()
def test_hidden_places_are_predicted_from_the_others_alone() -> None:
    net = model().eval()
    data = net.data_preprocessor(places(6))
    hidden = torch.isin(data["inputs"]["spoilt"], torch.tensor([1, 3]))[..., None]
    assert hidden.any()
    inputs = dict(data["inputs"])
    before = net(inputs)
    inputs["prior_points"] = torch.where(hidden, inputs["prior_points"] + 50.0, inputs["prior_points"])
    assert gap(net(inputs), before) == 0


@torch.no_grad()
def test_predictions_go_into_the_metric(tmp_path: Path) -> None:
    samples = model().eval().test_step(places(6, 0, 9))
    assert [sample.pred.shape for sample in samples] == [(6, 8, 2), (0, 8, 2), (9, 8, 2)]
    metric = ReconstructionError(out_dir=str(tmp_path))
    metric.process(None, [sample.to_dict() for sample in samples])
    metrics = metric.evaluate(3)
    assert metrics["vectors/rmse_m"] > 0 and (tmp_path / "metrics.json").is_file()


def test_reconstruction_is_told_by_kind() -> None:
    true = np.zeros((5, 2))
    given = np.array([[0.0, 0], [9, 9], [3, 4], [9, 9], [0, 1]])
    restored = np.array([[0.0, 0], [1, 0], [0, 2], [0, 3], [0, 0.5]])
    metrics = summarize_reconstruction(restored, given, true, np.arange(5))
    assert metrics["rmse_m"] == pytest.approx(np.sqrt((1 + 4 + 9 + 0.25) / 4))
    assert [metrics[f"{name}_m"] for name in SPOILT] == [0, 1, 2, 3, 0.5]
    assert metrics["point_moved_before_m"] == 5 and metrics["vector_moved_before_m"] == 1
    assert "point_hidden_before_m" not in metrics


def test_a_model_starts_from_the_pretrained_encoder(tmp_path: Path) -> None:
    net = model()
    torch.save({"state_dict": net.state_dict()}, tmp_path / "uve.pth")
    start = {"type": "Pretrained", "checkpoint": str(tmp_path / "uve.pth"), "prefix": "encoder."}
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1.0)
    torch.save({"state_dict": net.state_dict()}, tmp_path / "uve.pth")
    prior = build_prior("unified", encoder={**ENCODER, "init_cfg": start})
    prior.init_weights()
    learned = net.encoder.state_dict()
    for name, value in prior.parts["unified"].encoder.state_dict().items():
        assert torch.equal(value, learned[name]), name


def test_contradictions_are_scored_against_the_list() -> None:
    scores = np.array([0.9, 0.8, 0.6, 0.3, 0.1])
    changed = np.array([True, False, True, True, False])
    metrics = summarize_contradictions(scores, changed, np.array([0, 0, 1, 0, 1]))
    assert metrics["precision"] == pytest.approx(2 / 3) and metrics["recall"] == pytest.approx(2 / 3)
    assert metrics["AP"] == pytest.approx((1 + 0.75 + 0.75) / 3)  # every precision replaced by the best beyond
    assert metrics["wrong_share"] == 0.6 and metrics["wrong_pieces"] == 3
    assert metrics["AP_ped_crossing"] == 1.0 and "AP_boundary" not in metrics
    nothing = summarize_contradictions(np.zeros(0), np.zeros(0, bool), np.zeros(0, int))
    assert np.isnan(nothing["precision"]) and nothing["pieces"] == 0
