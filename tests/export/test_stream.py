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
from mapstack.registry import MODELS

from ..models.conftest import packed_batch
from ..models.streams import GRID, drive, streaming_mapper
from .conftest import METADATA

DRIVE = [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)]


def lidar_session(path: Path, threads: int = 4) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    model = streaming_mapper("RecallingDecoder").eval()  # both kinds of memory: a BEV map and queries
    path = tmp_path_factory.mktemp("stream") / "model.onnx"
    data = model.data_preprocessor(drive(("a", 0), ("b", 0)))
    export_onnx(model, model.export_inputs(data["inputs"]), path, METADATA)
    return model, path


def inputs_of(model: nn.Module, frame: tuple[str, int]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    data = model.data_preprocessor(drive(frame))
    tensors = {name: value.numpy() for name, value in model.export_inputs(data["inputs"]).items()}
    return tensors, data["data_samples"][0].world_from_bev


def test_a_drive_in_onnx_runtime_is_the_drive_in_pytorch(exported: tuple[nn.Module, Path]) -> None:
    """The vehicle's loop, written out: keep what comes out, reset when the scene changes."""
    model, path = exported
    session = lidar_session(path)
    names = output_names(model)
    assert [node.name for node in session.get_outputs()] == names
    with torch.no_grad():
        expected, state = [], None
        for frame in DRIVE:
            samples, state = model.stream(drive(frame), state)
            expected.append(samples[0].pred)
    answer, before = None, None
    differs = 0.0
    for frame, wanted in zip(DRIVE, expected, strict=True):
        tensors, world_from_bev = inputs_of(model, frame)
        if before is not None and before[0] == frame[0]:
            tensors |= {f"state_{name}": answer[f"next_{name}"] for name in model.export_state_names}
            tensors["state_valid"] = np.array([True])
            tensors["previous_from_current"] = (invert(before[1]) @ world_from_bev)[None].astype(np.float32)
        answer = dict(zip(names, session.run(names, tensors), strict=True))
        elements = model.decoder.predict(
            {"logits": torch.from_numpy(answer["scores"]).logit(), "points": torch.from_numpy(answer["polylines"])}
        )[0]
        torch.testing.assert_close(elements.points, wanted.points, atol=1e-3, rtol=0)
        torch.testing.assert_close(elements.scores, wanted.scores, atol=1e-4, rtol=0)
        cold = model.test_step(drive(frame))[0].pred.points
        differs = max(differs, float((cold - wanted.points).detach().abs().max()))
        before = frame[0], world_from_bev
    assert differs > 1e-2, "the past has no say, so this proves nothing"


def with_past(model: nn.Module, batch: int) -> dict[str, Tensor]:
    data = model.data_preprocessor(drive(*[("a", i) for i in range(batch)]))
    generator = torch.Generator().manual_seed(batch)
    tensors = model.export_inputs(data["inputs"])
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
    with pytest.raises(ExportError, match="goes to the next"):
        check_parity(_Forgetful(model), path, [with_past(model, 2)])


def fused_model() -> nn.Module:
    """Camera and LiDAR over 16 x 8 m, every weight of the fusion that starts at zero given a value."""
    torch.manual_seed(0)
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
    model = MODELS.build(
        {
            "type": "Mapper",
            "grid": GRID,
            "cell_m": 1.0,
            "num_classes": 3,
            "camera": {**camera, "backbone": backbone},
            "lidar": lidar,
            "fusion": {"type": "SynergyFusion", "channels": 8, "synergy": synergy, "alignment": {"channels": 8}},
            "decoder": {"type": "MapTRDecoder", "num_points": 4, "num_queries": 6, "embed_dims": 16, "num_layers": 1},
        }
    )
    for value in model.fusion.parameters():
        if not value.abs().sum():
            nn.init.normal_(value, std=0.2)
    return model.eval()


def test_sensors_may_be_absent_in_the_exported_graph(tmp_path: Path) -> None:
    model = fused_model()
    whole = model.export_inputs(model.data_preprocessor(packed_batch((1, 1)))["inputs"])
    path = tmp_path / "model.onnx"
    export_onnx(model, whole, path, METADATA)
    ready = model.data_preprocessor(packed_batch((1,)))["inputs"]
    one = model.export_inputs(ready)
    no_lidar = one | {"points": torch.zeros(0, 6), "lidar_valid": torch.zeros(1, dtype=torch.bool)}
    no_rear = one | {"camera_valid": torch.tensor([[True, False]])}
    blind = {"camera_valid": torch.zeros(1, 2, dtype=torch.bool), "images": torch.zeros_like(one["images"])}
    batches = [whole, one, no_lidar, no_rear, one | blind]
    parity = check_parity(model, path, batches)
    assert parity.num_frames == 6
    with torch.no_grad():
        points = [model.forward_export(**tensors)[1] for tensors in batches[1:]]
    assert all(not torch.allclose(points[0], other, atol=1e-3) for other in points[1:]), "a lost sensor changes nothing"
    session = lidar_session(path)
    once, again = (session.run(["polylines"], {k: v.numpy() for k, v in one.items()})[0] for _ in range(2))
    assert np.array_equal(once, again)
    np.testing.assert_allclose(once, points[0].numpy(), atol=1e-3)
