import math
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from mapstack.errors import ConfigError
from mapstack.geometry.rotation import PLANAR_REPRESENTATIONS, REPRESENTATIONS
from mapstack.models.pose import MapNet, MapNetLoss, PoseEstimate, PoseHead
from mapstack.structures import PoseDataSample

SPACE, PLANE = list(REPRESENTATIONS), list(PLANAR_REPRESENTATIONS)


def network(rotation: str = "six_d", pool: tuple[int, int] = (1, 1), **loss: object) -> MapNet:
    backbone = {"type": "TimmBackbone", "name": "resnet18", "out_indices": (4,), "kwargs": {"channels": (8, 8, 8, 16)}}
    head = {"type": "PoseHead", "hidden_channels": 32, "rotation": rotation, "dropout": 0.0}
    return MapNet(backbone, head, {"type": "MapNetLoss", **loss}, pool)


def poses(*shape: int, seed: int = 0, far_m: float = 900.0) -> Tensor:
    """(..., 4, 4) around a place far from the origin."""
    count, rng = math.prod(shape), np.random.default_rng(seed)
    found = np.tile(np.eye(4), (count, 1, 1))
    found[:, :3, :3] = Rotation.random(count, random_state=seed).as_matrix()
    found[:, :3, 3] = far_m + rng.normal(0, 30, (count, 3))
    return torch.from_numpy(found).unflatten(0, shape)


def batch(labelled: tuple[bool, ...] = (True, True), steps: int = 3) -> dict:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 255, (len(labelled), steps, 3, 32, 64), dtype=torch.uint8, generator=generator)
    true = poses(len(labelled), steps)
    samples = []
    for i, is_labelled in enumerate(labelled):
        sample = PoseDataSample(metainfo={"token": f"frame-{i}", "labelled": is_labelled, "place": 1})
        sample.poses = true[i] if is_labelled else torch.eye(4, dtype=torch.float64).repeat(steps, 1, 1)
        sample.odometry = torch.linalg.inv(true[i, :1]) @ true[i]
        sample.gnss = true[i, :, :2, 3] + 1.0
        samples.append(sample)
    valid = [torch.ones(steps, dtype=torch.bool)] * len(labelled)
    return {"inputs": {"images": list(images), "camera_valid": valid}, "data_samples": samples}


def estimate(translation: list, log_quaternion: list) -> PoseEstimate:
    numbers = torch.tensor([log_quaternion], dtype=torch.float64)
    matrix = REPRESENTATIONS["log_quaternion"].to_matrix(numbers)
    return PoseEstimate(torch.tensor([translation], dtype=torch.float64), numbers, matrix)


def test_the_papers_formula_on_numbers_worked_by_hand() -> None:
    """Two frames: absolute errors 1 and 4/3 m, 0.1 and 0.1; the pair's: 1 m and 1/15."""
    loss = MapNetLoss("log_quaternion", rotation_error="numbers", relative="difference")
    weights = {"translation": 0.5, "rotation": -2.0, "translation_relative": -1.0, "rotation_relative": -3.0}
    with torch.no_grad():
        for name, value in weights.items():
            getattr(loss, f"log_var_{name}").fill_(value)
    predicted = estimate([[1, 2, 3], [4, 2, 3]], [[0.1, 0, 0], [0.2, 0.2, 0]])
    target = estimate([[0, 2, 5], [1, 2, 4]], [[0, 0, 0.2], [0.2, 0.2, 0.3]])
    losses = loss(predicted, target, torch.tensor([True]))
    by_hand = {
        "loss_translation": 7 / 6 * math.exp(-0.5) + 0.5,
        "loss_rotation": 0.1 * math.exp(2) - 2,
        "loss_translation_relative": 1.0 * math.exp(1) - 1,  # (3, 0, 0) against (1, 0, -1)
        "loss_rotation_relative": 1 / 15 * math.exp(3) - 3,  # (0.1, 0.2, 0) against (0.2, 0.2, 0.1)
    }
    assert losses.keys() == by_hand.keys()
    for name, value in by_hand.items():
        assert losses[name].item() == pytest.approx(value, rel=1e-6), name


def test_weights_begin_where_mapnets_do_and_settle_at_the_log_of_the_error() -> None:
    loss = MapNetLoss("log_quaternion", rotation_error="numbers")
    starts = {name.removeprefix("log_var_"): value.item() for name, value in loss.named_parameters()}
    assert starts == {"translation": 0, "rotation": -3, "translation_relative": 0, "rotation_relative": -3}
    predicted, target = estimate([[3.0, 0, 0]], [[0.6, 0, 0]]), estimate([[0.0, 0, 0]], [[0.0, 0, 0]])
    with torch.no_grad():
        loss.log_var_translation.fill_(math.log(1.0))
        loss.log_var_rotation.fill_(math.log(0.2))
    sum(loss(predicted, target, torch.tensor([True])).values()).backward()
    assert loss.log_var_translation.grad.item() == pytest.approx(0, abs=1e-6)
    assert loss.log_var_rotation.grad.item() == pytest.approx(0, abs=1e-6)
    assert not any(p.requires_grad for p in MapNetLoss(learn_weights=False).parameters())


def test_rigid_motion_does_not_depend_on_the_frame_that_it_is_measured_in() -> None:
    head = PoseHead(4, 8)
    there = poses(1, 3)
    elsewhere = poses(1, seed=5)[:, None] @ there
    first, second = (head.estimate_of(p) for p in (there, elsewhere))
    motions = [p[:, :-1].motion_to(p[:, 1:], head.representation) for p in (first, second)]
    torch.testing.assert_close(motions[0].matrix, motions[1].matrix, atol=1e-5, rtol=0)
    torch.testing.assert_close(motions[0].translation, motions[1].translation, atol=2e-3, rtol=0)
    expected = torch.linalg.inv(there[:, :-1]) @ there[:, 1:]
    torch.testing.assert_close(motions[0].translation.double(), expected[..., :3, 3], atol=1e-3, rtol=0)
    plain = [p[:, :-1].difference_to(p[:, 1:]).translation for p in (first, second)]
    assert (plain[0] - plain[1]).abs().max() > 1, "MapNet's difference does depend on it"


@pytest.mark.parametrize("error", ["numbers", "matrix", "geodesic"])
@pytest.mark.parametrize("relative", ["difference", "rigid", None])
def test_a_perfect_prediction_costs_only_its_weights(error: str, relative: str | None) -> None:
    if (error, relative) == ("geodesic", "difference"):
        with pytest.raises(ConfigError, match="no angle"):
            MapNetLoss(rotation_error=error, relative=relative)
        return
    true = PoseHead(4, 8).estimate_of(poses(2, 4))
    loss = MapNetLoss(rotation_error=error, relative=relative, all_pairs=True, use_odometry=True)
    losses = loss(true, true, torch.tensor([True, False]), true)
    for name, value in losses.items():
        log_var = getattr(loss, name.replace("loss_", "log_var_")).item()
        assert value.item() == pytest.approx(log_var, abs=1e-3), name
    assert len(losses) == (4 if relative is None else 6)


def test_unlabelled_tuples_learn_from_odometry_and_satellites_and_from_nothing_else() -> None:
    model = network(relative="rigid", use_odometry=True, use_gnss=True)
    model.set_statistics((900.0, 900.0, 900.0), 30.0)
    data = batch(labelled=(True, False))

    def losses() -> dict[str, Tensor]:
        return model(**model.data_preprocessor(data), mode="loss")

    before = losses()
    data["data_samples"][1].poses = poses(3, seed=9)
    data["data_samples"][0].odometry = poses(3, seed=10)
    data["data_samples"][0].gnss = torch.zeros(3, 2, dtype=torch.float64)
    absolute, relative = ("loss_translation", "loss_rotation"), ("loss_translation_relative", "loss_rotation_relative")
    measured = ("loss_translation_odometry", "loss_rotation_odometry", "loss_gnss")
    assert set(before) == {*absolute, *relative, *measured}
    after = losses()
    for name, value in before.items():
        torch.testing.assert_close(after[name], value)
    data["data_samples"][1].odometry[1, :3, 3] += 300.0
    assert losses()["loss_translation_odometry"] > before["loss_translation_odometry"] + 0.1
    data["data_samples"][1].gnss += 600.0
    assert losses()["loss_gnss"] > before["loss_gnss"] + 0.1


def test_a_batch_without_labels_leaves_their_weights_alone() -> None:
    model = network(use_odometry=True, use_gnss=True)
    model.set_statistics((900.0, 900.0, 900.0), 30.0)
    losses = model(**model.data_preprocessor(batch(labelled=(False, False))), mode="loss")
    assert losses["loss_translation"] == losses["loss_rotation_relative"] == 0
    sum(losses.values()).backward()
    assert model.loss.log_var_translation.grad == 0
    assert model.loss.log_var_gnss.grad != 0
    assert model.head.rotation.weight.grad.abs().sum() > 0


def test_missing_measurements_are_named() -> None:
    model = network(use_odometry=True)
    data = batch(labelled=(False,))
    del data["data_samples"][0].odometry
    with pytest.raises(ConfigError, match="frame-0 has no odometry; put SimulateGnss"):
        model(**model.data_preprocessor(data), mode="loss")
    with pytest.raises(ConfigError, match="no rotation representation 'sixd'; choose one of six_d"):
        PoseHead(4, rotation="sixd")


@pytest.mark.parametrize("rotation", [*SPACE, *PLANE])
def test_a_pose_goes_through_the_heads_numbers_and_back(rotation: str) -> None:
    head = PoseHead(4, 8, rotation)
    head.origin.copy_(torch.tensor([900.0, 880.0, 910.0]))
    head.scale.fill_(25.0)
    true = poses(2, 5)
    if rotation in PLANE:  # what the plane can say: heading, at the origin's height
        yaw = torch.atan2(true[..., 1, 0], true[..., 0, 0])
        upright = torch.eye(4, dtype=torch.float64).repeat(2, 5, 1, 1)
        upright[..., 0, 0], upright[..., 0, 1] = yaw.cos(), -yaw.sin()
        upright[..., 1, 0], upright[..., 1, 1] = yaw.sin(), yaw.cos()
        upright[..., :2, 3], upright[..., 2, 3] = true[..., :2, 3], 910.0
        back = head.poses_of(head.estimate_of(true))
        torch.testing.assert_close(back.double(), upright, atol=2e-4, rtol=0)
        return
    torch.testing.assert_close(head.poses_of(head.estimate_of(true)).double(), true, atol=2e-4, rtol=0)


@pytest.mark.parametrize("rotation", [*SPACE, *PLANE])
def test_every_representation_learns(rotation: str) -> None:
    torch.use_deterministic_algorithms(True)
    model = network(rotation, relative="rigid", use_odometry=True, use_gnss=True)
    model.set_statistics((900.0, 900.0, 900.0), 30.0)
    data = model.data_preprocessor(batch(labelled=(True, False)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    history = []
    for _ in range(12):
        loss = sum(model(**data, mode="loss").values())
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
        optimizer.step()
        history.append(loss.item())
    torch.use_deterministic_algorithms(False)
    assert min(history[-3:]) < history[0] - 0.5


def test_predictions_are_in_world_metres() -> None:
    model = network().eval()
    model.set_statistics((900.0, 800.0, 5.0), 0.01)
    data = model.data_preprocessor(batch())
    samples = model(**data, mode="predict")
    for sample in samples:
        assert sample.pred.shape == (3, 4, 4)
        torch.testing.assert_close(
            sample.pred[:, :3, 3], torch.tensor([900.0, 800.0, 5.0]).repeat(3, 1), atol=1, rtol=0
        )
    torch.testing.assert_close(model(**data, mode="tensor"), torch.stack([sample.pred for sample in samples]))


EXPORTED_HEADS = ("six_d", "five_d", "log_quaternion", "yaw_vector")  # what they are made of covers the others


class SeveralHeads(torch.nn.Module):
    """Poses of several representations from the same features."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = torch.nn.ModuleDict({name: PoseHead(16, 8, name, dropout=0.0) for name in EXPORTED_HEADS})
        for head in self.heads.values():
            torch.nn.init.normal_(head.rotation.weight, std=2.0)  # any numbers, not only those near the identity

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        return tuple(head.poses_of(head(features)) for head in self.heads.values())


@torch.no_grad()
def test_parts_of_the_image_are_told_apart() -> None:
    model = network(pool=(1, 2)).eval()
    model.backbone = Halves()
    images = torch.rand(2, 3, 8, 16)
    seen = []
    model.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.head.hidden[0] = torch.nn.Linear(6, 32)
    model.estimate(images)
    expected = torch.stack([images[..., :8].mean((2, 3)), images[..., 8:].mean((2, 3))], -1).flatten(1)
    torch.testing.assert_close(seen[0], expected)
    with pytest.raises(ConfigError, match="8 x 15 cells, which pool=\\(1, 2\\) does not divide"):
        model.estimate(torch.rand(2, 3, 8, 15))


class Halves(torch.nn.Module):
    def forward(self, images: Tensor) -> list[Tensor]:
        return [images]


class Exported(torch.nn.Module):
    def __init__(self, model: MapNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return self.model.forward_export(images)


@pytest.mark.parametrize("part", ["network", "heads"])
def test_onnx_runtime_agrees_on_any_batch(part: str, tmp_path: Path) -> None:
    if part == "network":
        network_ = network(pool=(1, 2)).eval()
        network_.set_statistics((900.0, 800.0, 5.0), 30.0)
        model, shape = Exported(network_).eval(), (3, 32, 64)
    else:
        model, shape = SeveralHeads().eval(), (16,)
    axes = ({0: torch.export.Dim("batch", min=1)},)
    example = (torch.randn(2, *shape),)
    program = torch.onnx.export(model, example, dynamo=True, opset_version=18, verbose=False, dynamic_shapes=axes)
    program.save(tmp_path / "pose.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 4
    session = onnxruntime.InferenceSession(tmp_path / "pose.onnx", options)
    for count in (1, 5):
        inputs = torch.randn(count, *shape)
        found = session.run(None, {session.get_inputs()[0].name: inputs.numpy()})
        with torch.no_grad():
            expected = model(inputs)
        assert len(found) == len(expected) == (2 if part == "network" else len(EXPORTED_HEADS))
        for answer, truth in zip(found, expected, strict=True):
            assert answer.shape == truth.shape
            np.testing.assert_allclose(answer, truth.numpy(), atol=1e-4, rtol=1e-6)
