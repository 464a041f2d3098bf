"""Every encoder in ONNX Runtime with four threads gives what PyTorch gives, at any number of frames."""

from collections.abc import Mapping
from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from mapstack.export.exporter import export_onnx
from mapstack.models.camera.encoder import CameraEncoder
from tests.export.conftest import METADATA

from .rig import KINDS, PIXELS, make_encoder, make_inputs

NECKS = {"lss": None, "ipm": "MergedPyramid", "bevformer": "FeaturePyramid", "gkt": "FeaturePyramid"}


class EncoderAlone(nn.Module):
    """An encoder's BEV as the two outputs of an exportable model."""

    def __init__(self, encoder: CameraEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def export_inputs(self, inputs: dict[str, Tensor]) -> Mapping[str, Tensor]:
        return inputs

    def forward_export(self, **inputs: Tensor) -> tuple[Tensor, Tensor]:
        bev = self.encoder(inputs)[0]
        return bev.flatten(2).transpose(1, 2), bev.mean(1)


@pytest.mark.parametrize("kind", KINDS)
def test_onnx_runtime_agrees_at_any_batch(kind: str, tmp_path: Path) -> None:
    neck = {"type": NECKS[kind]} if NECKS[kind] else None
    model = EncoderAlone(make_encoder(kind, {**PIXELS, "strides": (4, 8)}, neck=neck)).eval()
    for value in model.parameters():  # offsets and weights that start at zero would look right anyway
        if not value.abs().sum():
            nn.init.normal_(value, std=0.3)
    path = tmp_path / "encoder.onnx"
    export_onnx(model, make_inputs(2), path, METADATA)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        inputs = make_inputs(batch)
        inputs["camera_valid"][0, 1] = False
        inputs["ego_from_camera"][-1, :, 1] *= -1  # a mirrored ego frame
        with torch.no_grad():
            expected = model.forward_export(**inputs)
        found = session.run(None, {name: value.numpy() for name, value in inputs.items()})
        for theirs, ours in zip(found, expected, strict=True):
            torch.testing.assert_close(torch.from_numpy(theirs), ours, rtol=1e-4, atol=1e-4)
