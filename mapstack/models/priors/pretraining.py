"""Pre-training of the vector encoder: restore what was hidden or moved, from vectors alone."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor, BaseModel
from torch import Tensor

from mapstack.models.decoders.layers import mlp_head
from mapstack.registry import MODELS
from mapstack.structures.vector_data_sample import SPOILT, VectorDataSample

from .batch import prior_inputs, priors_of

__all__ = ["VectorPreprocessor", "VectorPretraining"]

HIDDEN = tuple(SPOILT.index(name) for name in SPOILT if name.endswith("hidden"))
STEP_M, HIDDEN_STEP_M = 1.0, 10.0  # what an output of 1 means: a correction, or coordinates from nothing


@MODELS.register_module()
class VectorPreprocessor(BaseDataPreprocessor):
    """Pad the vectors of a batch: ``prior_points`` and so on as given, and ``spoilt`` (B, N, P) int64."""

    def forward(self, data: dict, training: bool = False) -> dict:
        """Batch one list of places; ``data_samples`` pass through."""
        data = self.cast_data(data)
        samples: Sequence[VectorDataSample] = data["data_samples"]
        priors = [prior.to(samples[0].spoilt.device) for prior in data["inputs"]["prior"]]
        inputs = prior_inputs(priors, limit=None)
        count = inputs["prior_points"].shape[1]
        rows = [torch.nn.functional.pad(sample.spoilt, (0, 0, 0, count - len(sample.spoilt))) for sample in samples]
        return {"inputs": {**inputs, "spoilt": torch.stack(rows)}, "data_samples": samples}


@MODELS.register_module()
class VectorPretraining(BaseModel):
    """An encoder and a head that says where every point belongs (PriorDrive, section 3.5, "position modeling").

    The loss is the mean distance in metres over spoilt points, and with a small weight over the others. The paper takes
    the root of the mean square over all points, which the few vectors rule that nothing can restore.

    Args:
        encoder: :class:`UnifiedVectorEncoder`; its weights are the purpose, under ``encoder.`` in the checkpoint.
        kept_weight: of a point that was not spoilt.
        init_cfg: as in MMEngine.
    """

    def __init__(self, encoder: dict, kept_weight: float = 0.1, init_cfg: dict | None = None) -> None:
        super().__init__(MODELS.build({"type": "VectorPreprocessor"}), init_cfg)
        self.encoder = MODELS.build(encoder)
        self.head = mlp_head(self.encoder.embed_dims, 2)
        self.kept_weight = kept_weight

    def restore(self, inputs: dict[str, Tensor]) -> Tensor:
        """(B, N, P, 2) ego metres of every point, spoilt or not."""
        vectors = priors_of(inputs)
        hidden = torch.isin(inputs["spoilt"], inputs["spoilt"].new_tensor(HIDDEN))
        tokens = self.encoder(vectors, hidden)
        change = self.head(tokens.points)
        return torch.where(hidden[..., None], change * HIDDEN_STEP_M, vectors.points + change * STEP_M)

    def forward(
        self, inputs: dict[str, Tensor], data_samples: Sequence[VectorDataSample] | None = None, mode: str = "tensor"
    ) -> dict[str, Tensor] | Sequence[VectorDataSample] | Tensor:
        """Run one batch; ``mode`` as MMEngine has it: ``tensor`` gives (B, N, P, 2)."""
        restored = self.restore(inputs)
        if mode == "tensor":
            return restored
        if mode == "predict":
            for sample, points in zip(data_samples, restored, strict=True):
                sample.pred = points[: len(sample.points)]
            return data_samples
        if mode != "loss":
            raise ValueError(f"mode must be loss, predict or tensor, got {mode!r}")
        count = restored.shape[1]
        true = [
            torch.nn.functional.pad(item.points, (0, 0, 0, 0, 0, count - len(item.points))) for item in data_samples
        ]
        error = (restored - torch.stack(true)).square().sum(-1).add(1e-6).sqrt()
        valid = inputs["prior_valid"][..., None]
        spoilt = valid & (inputs["spoilt"] > 0)
        kept = valid & (inputs["spoilt"] == 0)
        return {
            "loss_spoilt": (error * spoilt).sum() / spoilt.sum().clamp(min=1),
            "loss_kept": self.kept_weight * (error * kept).sum() / kept.sum().clamp(min=1),
        }
