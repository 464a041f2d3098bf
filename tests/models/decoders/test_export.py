"""Every decoder in ONNX Runtime, on four threads, equals itself in PyTorch."""

from collections.abc import Mapping
from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from mapstack.export.exporter import export_onnx
from mapstack.models.temporal import Past
from tests.export.conftest import METADATA

from .problems import bev, build
from .test_decoders import fill_zeros

# One layer has every operator that more have, and exports in half the time. MapTR's own is exported by the whole model.
EXPORTED: dict[str, dict] = {
    "maptrv2-3d-lanes": {"num_layers": 1, "uncertainty": True},
    "maptrv2-interaction": {"num_layers": 1},
    "streammapnet": {"num_propagated": 2},
    "supermapnet-proposals": {"num_layers": 1, "uncertainty": True},
}


class Decoder(nn.Module):
    """A decoder as an exportable model whose input is the BEV map, and the state where it streams."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder
        streams = getattr(decoder, "streams", False)
        self.state_names = tuple(decoder.initial_memory(bev())) if streams else ()

    @property
    def export_extra_names(self) -> tuple[str, ...]:
        return (*self.decoder.output_names[2:], *(f"next_{name}" for name in self.state_names))

    def export_inputs(self, inputs: dict[str, Tensor]) -> Mapping[str, Tensor]:
        return inputs

    def forward_export(self, bev: Tensor, **state: Tensor) -> tuple[Tensor, ...]:
        if not self.state_names:
            output, memory = self.decoder(bev), {}
        else:
            tensors = {name: state[name] for name in self.state_names}
            output = self.decoder(bev, Past(tensors, state["valid"], state["motion"]))
            memory = output["memory"]
        return *(output[name] for name in self.decoder.output_names), *memory.values()


def inputs(model: Decoder, batch: int, seed: int) -> dict[str, Tensor]:
    tensors = {"bev": bev(batch, seed)}
    if model.state_names:
        generator = torch.Generator().manual_seed(seed)
        for name, value in model.decoder.initial_memory(bev()).items():
            tensors[name] = torch.rand(batch, *value.shape[1:], generator=generator)
        tensors["valid"] = torch.arange(batch) % 2 == 0
        tensors["motion"] = torch.eye(4).repeat(batch, 1, 1)
        tensors["motion"][:, :2, 3] = torch.tensor([1.5, -0.4])
    return tensors


@pytest.mark.parametrize("name", EXPORTED)
def test_onnx_runtime_decodes_the_same(name: str, tmp_path: Path) -> None:
    model = Decoder(build(name, **EXPORTED[name])).eval()
    fill_zeros(model)
    export_onnx(model, inputs(model, 2, seed=1), tmp_path / "decoder.onnx", METADATA)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 4
    session = onnxruntime.InferenceSession(tmp_path / "decoder.onnx", options, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_outputs()]
    assert names == ["scores", "polylines", *model.export_extra_names]
    for batch in (1, 3):
        tensors = inputs(model, batch, seed=7 + batch)
        answer = session.run(None, {node.name: tensors[node.name].numpy() for node in session.get_inputs()})
        with torch.no_grad():
            expected = model.forward_export(**tensors)
        for key, value, found in zip(names, expected, answer, strict=True):
            gap = (torch.from_numpy(found) - value).abs().max()
            assert gap < 1e-4, f"{key} differs by {gap:.2g}"
