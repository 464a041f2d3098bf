"""A config's model, untrained where need be, in every form it exports to: what the tables on export share."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from mmengine import Config
from mmengine.dataset import BaseDataset, pseudo_collate
from torch import Tensor, nn

from mapstack.errors import ExportError
from mapstack.registry import MODELS

from .describe import ExportPlan, plan_export
from .exporter import NEXT_STATE, export_onnx, output_names

__all__ = ["example_batch", "export_form", "parity_batches", "settle", "untrained_model"]


def settle(model: nn.Module) -> nn.Module:
    """Give layers without statistics such as a training would leave; those that came with pretrained weights stay."""
    generator = torch.Generator().manual_seed(0)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean") and not buffer.any():
            buffer.copy_(0.1 * torch.randn(buffer.shape, generator=generator))
        if name.endswith("running_var") and (buffer == 1).all():
            buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
    return model


def untrained_model(cfg: Config) -> nn.Module:
    """The config's model in eval mode with random weights, the same every time."""
    torch.manual_seed(0)
    return settle(MODELS.build(cfg.model.to_dict())).eval()


def example_batch(model: nn.Module, dataset: BaseDataset, places: Sequence[int]) -> dict:
    """Frames of a dataset as the model's preprocessor batches them."""
    return model.data_preprocessor(pseudo_collate([dataset[place] for place in places]))


def parity_batches(
    model: nn.Module, plan: ExportPlan, dataset: BaseDataset, places: Sequence[int]
) -> Iterator[dict[str, Tensor]]:
    """The graph's inputs of one frame after the other; a model that streams gets what it left at the frame before."""
    state: dict[str, Tensor] = {}
    names = output_names(model)
    for place in places:
        tensors = plan.tensors(example_batch(model, dataset, [place])["inputs"])
        if state:
            tensors |= state | {"state_valid": torch.tensor([True])}
        yield tensors
        if model.export_state_names:
            with torch.no_grad():
                outputs = dict(zip(names, model.forward_export(**tensors), strict=True))
            state = {f"state_{name}": outputs[NEXT_STATE + name] for name in model.export_state_names}


def export_form(model: nn.Module, cfg: Config, dataset: BaseDataset, path: Path, pool: str) -> ExportPlan | None:
    """Write a form of the model to ``path``; None where it has none of its own (tables, for one that takes none)."""
    batch = example_batch(model, dataset, [0, len(dataset) - 1])
    names = batch["data_samples"][0].get("camera_names", ())
    try:
        plan = plan_export(model, batch["inputs"], cfg, names, pool)
    except ExportError:
        if pool == "tables":
            return None
        raise
    export_onnx(model, plan.tensors(batch["inputs"]), path, plan.metadata)
    return plan
