"""A drive in ONNX Runtime: state goes in and comes out by name, sensors may be absent, several threads lose nothing."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from mapstack.errors import ExportError
from mapstack.export.exporter import export_onnx, output_names
from mapstack.export.parity import check_parity, measure_parity
from mapstack.geometry.se3 import invert

from ..export.conftest import METADATA
from .streams import drive, streaming_mapper

DRIVE = [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)]


def four_threads(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 4
    return onnxruntime.InferenceSession(str(path), options)


def streaming_fused_model() -> nn.Module:
    """Two cameras and LiDAR, fused as in SuperMapNet, with both kinds of memory: a BEV map and queries."""
    backbone = {"type": "TimmBackbone", "name": "resnet18", "kwargs": {"channels": (8, 8, 16, 16)}}
    camera = {"type": "LSSEncoder", "channels": 8, "neck_channels": 8, "depth_range_m": (1.0, 9.0, 2.0)}
    lidar = {
        "type": "DenseSECOND",
        "channels": 8,
        "point_channels": 4,
        "stage_channels": (8, 8),
        "stage_depths": (1, 1),
    }
    synergy = {"embed_dims": 8, "num_heads": 2, "window": 5, "halo": 3}
    model = streaming_mapper(
        "RecallingDecoder",
        camera={**camera, "backbone": backbone},
        lidar=lidar,
        fusion={"type": "SynergyFusion", "channels": 8, "synergy": synergy, "alignment": {"channels": 8}},
    )
    for value in model.fusion.parameters():  # what starts at zero would hide what lies before it
        if not value.abs().sum():
            nn.init.normal_(value, std=0.2)
    return model.eval()


def inputs_of(model: nn.Module, *frames: tuple[str, int]) -> dict[str, Tensor]:
    return model.export_inputs(model.data_preprocessor(drive(*frames, cameras=True))["inputs"])


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    model = streaming_fused_model()
    path = tmp_path_factory.mktemp("stream") / "model.onnx"
    export_onnx(model, inputs_of(model, ("a", 0), ("b", 0)), path, METADATA)
    return model, path


def test_a_drive_in_onnx_runtime_is_the_drive_in_pytorch(exported: tuple[nn.Module, Path]) -> None:
    """The vehicle's loop, written out: keep what comes out, reset when the scene changes."""
    model, path = exported
    session, names = four_threads(path), output_names(model)
    assert [node.name for node in session.get_outputs()] == names
    state, before, answer, differs = None, None, None, 0.0
    for frame in DRIVE:
        batch = drive(frame, cameras=True)
        tensors = {name: value.numpy() for name, value in inputs_of(model, frame).items()}
        world_from_bev = batch["data_samples"][0].world_from_bev
        if before is not None and before[0] == frame[0]:
            tensors |= {f"state_{name}": answer[f"next_{name}"] for name in model.export_state_names}
            tensors["state_valid"] = np.array([True])
            tensors["previous_from_current"] = (invert(before[1]) @ world_from_bev)[None].astype(np.float32)
        answer = dict(zip(names, session.run(names, tensors), strict=True))
        with torch.no_grad():
            (sample,), state = model.stream(batch, state)
            wanted = sample.pred
            cold = model.test_step(drive(frame, cameras=True))[0].pred
        np.testing.assert_allclose(answer["polylines"][0], wanted.points.numpy(), atol=1e-3, rtol=0)
        np.testing.assert_allclose(answer["scores"][0].max(1), wanted.scores.numpy(), atol=1e-4, rtol=0)
        differs = max(differs, float((cold.points - wanted.points).abs().max()))
        before = frame[0], world_from_bev
    assert differs > 1e-2, "the past has no say, so this proves nothing"


def with_past(model: nn.Module, batch: int) -> dict[str, Tensor]:
    tensors = inputs_of(model, *[("a", step) for step in range(batch)])
    generator = torch.Generator().manual_seed(batch)
    for name in model.export_state_names:
        tensors[f"state_{name}"] = torch.rand(tensors[f"state_{name}"].shape, generator=generator)
    tensors["state_valid"] = torch.arange(batch) % 2 == 0
    tensors["previous_from_current"][:, :2, 3] = torch.tensor([1.7, -0.4])
    return tensors


def test_parity_covers_the_state_at_any_batch_size(exported: tuple[nn.Module, Path]) -> None:
    model, path = exported
    parity = check_parity(model, path, [with_past(model, batch) for batch in (1, 2, 3)])
    assert parity.num_frames == 6 and parity.state_error < 1e-4


class _Forgetful(nn.Module):
    """The same model with another state."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.export_state_names, self.export_extra_names = model.export_state_names, model.export_extra_names

    def forward_export(self, **tensors: Tensor) -> tuple[Tensor, ...]:
        scores, points, *state = self.model.forward_export(**tensors)
        return scores, points, *(value + 0.01 for value in state)


def test_a_state_that_differs_is_found_out(exported: tuple[nn.Module, Path]) -> None:
    model, path = exported
    assert measure_parity(_Forgetful(model), path, [with_past(model, 2)]).state_error == pytest.approx(0.01, abs=1e-4)
    with pytest.raises(ExportError, match="differs from PyTorch"):
        check_parity(_Forgetful(model), path, [with_past(model, 2)])


def test_sensors_may_be_absent_in_the_exported_graph(exported: tuple[nn.Module, Path]) -> None:
    model, path = exported
    one = with_past(model, 1)
    no_lidar = {"points": torch.zeros(0, 6), "lidar_valid": torch.zeros(1, dtype=torch.bool)}
    no_rear = {"camera_valid": torch.tensor([[True, False]])}
    blind = {"camera_valid": torch.zeros(1, 2, dtype=torch.bool), "images": torch.zeros_like(one["images"])}
    batches = [one, {**one, **no_lidar}, {**one, **no_rear}, {**one, **blind}]
    assert check_parity(model, path, batches).num_frames == 4
    with torch.no_grad():
        maps = [model.forward_export(**tensors)[2] for tensors in batches]  # what the next frame gets
    assert all(not torch.allclose(maps[0], other, atol=1e-4) for other in maps[1:]), "a lost sensor changes nothing"


def test_four_threads_lose_nothing(exported: tuple[nn.Module, Path]) -> None:
    model, path = exported
    session = four_threads(path)
    feed = {name: value.numpy() for name, value in with_past(model, 3).items()}
    first, *others = (session.run(None, feed) for _ in range(4))
    assert all(np.array_equal(a, b) for other in others for a, b in zip(first, other, strict=True))
