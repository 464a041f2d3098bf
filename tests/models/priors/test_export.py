"""Priors of any number in ONNX Runtime, on four threads, do what they do in PyTorch."""

from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from mapstack.export.exporter import export_onnx
from mapstack.models.priors.batch import exported_priors, prior_inputs, priors_of
from mapstack.models.priors.prior_maps import PriorMaps
from tests.export.conftest import METADATA
from tests.models.decoders.problems import bev, build

from .problems import build_prior, prior_map, wake


class PriorAndDecoder(nn.Module):
    """BEV map and priors to polylines and contradiction."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.prior, self.decoder = build_prior(*names), build("maptr", uncertainty=False)

    @property
    def export_extra_names(self) -> tuple[str, ...]:
        return ("contradicted",) if self.prior.scores_changes else ()

    def export_inputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"bev": inputs["bev"], **exported_priors(inputs)}

    def forward_export(self, bev: Tensor, **tensors: Tensor) -> tuple[Tensor, ...]:
        outputs = self.prior(bev, priors_of(tensors))
        queries = PriorMaps.queries(outputs)
        output = self.decoder(list(outputs.values())[-1].bev, **({} if queries is None else {"prior": queries}))
        told = [] if not self.prior.scores_changes else [self.prior.contradiction(outputs)]
        return output["logits"].sigmoid(), output["points"], *told


def inputs(*counts: int, seed: int = 0) -> dict[str, Tensor]:
    priors = [prior_map(count, seed + i) for i, count in enumerate(counts)]
    return {"bev": bev(len(counts), seed), **prior_inputs(priors, limit=50)}


@pytest.mark.parametrize("names", [("unified", "raster"), ("as published", "polyline")], ids=" and ".join)
def test_any_number_of_vectors_is_exported(names: tuple[str, ...], tmp_path: Path) -> None:
    model = PriorAndDecoder(*names).eval()
    wake(model)
    export_onnx(model, model.export_inputs(inputs(5, 3)), tmp_path / "model.onnx", METADATA)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 4
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", options, providers=["CPUExecutionProvider"])
    for counts in ((1,), (0, 12, 2), (200,), (0,)):
        tensors = model.export_inputs(inputs(*counts, seed=11))
        found = session.run(None, {node.name: tensors[node.name].numpy() for node in session.get_inputs()})
        with torch.no_grad():
            expected = model.forward_export(**tensors)
        for value, answer in zip(expected, found, strict=True):
            assert value.shape == answer.shape
            assert (torch.from_numpy(answer) - value).abs().max() < 1e-4, f"{counts} vectors"
