"""The Mapper's prior part: every prior of a frame, in as many ways as are configured."""

from collections.abc import Mapping

import torch
from mmengine.model import BaseModule, ModuleDict
from torch import Tensor

from mapstack.errors import ConfigError
from mapstack.models.building import build_part
from mapstack.registry import MODELS
from mapstack.structures import PriorBatch

from .noise import PriorNoise
from .parts import PriorOutput
from .queries import PriorQueries

__all__ = ["PriorMaps"]


@MODELS.register_module()
class PriorMaps(BaseModule):
    """One or several parts that show prior maps to the encoded BEV and to the decoder, one after the other.

    Args:
        grid: keyword arguments of the task's :class:`BEVGrid`.
        cell_m: edge of the BEV cells.
        in_channels: C of the encoded BEV map.
        num_classes: of the decoder.
        parts: by name, :class:`VectorPrior` or :class:`RasterPrior`, in the order in which they add to the map.
        decoder_dims: width of the decoder; None where it takes no queries.
        noise: arguments of :class:`PriorNoise`, for training.
    """

    def __init__(
        self,
        grid: dict,
        cell_m: float,
        in_channels: int,
        num_classes: int,
        parts: Mapping[str, dict],
        decoder_dims: int | None = None,
        noise: dict | None = None,
    ) -> None:
        super().__init__()
        self.noise = PriorNoise(**(noise or {}))
        shared = {"grid": grid, "cell_m": cell_m, "in_channels": in_channels, "num_classes": num_classes}
        shared["decoder_dims"] = decoder_dims
        self.parts = ModuleDict({name: build_part(part, shared) for name, part in parts.items()})
        if sum(part.makes_queries for part in self.parts.values()) > 1:
            raise ConfigError(
                "two parts of PriorMaps make queries; give one of them all sources, the other queries=None"
            )

    def forward(self, bev: Tensor, vectors: PriorBatch) -> dict[str, PriorOutput]:
        """What each part makes of (B, C, rows, cols) and of the part before; the last ``bev`` goes to the decoder."""
        outputs = {}
        for name, part in self.parts.items():
            outputs[name] = part(bev, vectors)
            bev = outputs[name].bev
        return outputs

    @staticmethod
    def queries(outputs: Mapping[str, PriorOutput]) -> PriorQueries | None:
        """Those for the decoder."""
        return next((output.queries for output in outputs.values() if output.queries is not None), None)

    @property
    def scores_changes(self) -> bool:
        """Whether a part tells which vectors the sensors contradict."""
        return any(getattr(part, "change", None) is not None for part in self.parts.values())

    @staticmethod
    def contradiction(outputs: Mapping[str, PriorOutput]) -> Tensor | None:
        """(B, N) in [0, 1] how sure the surest part is that a vector is contradicted; None where no part tells."""
        told = [output.contradicted.sigmoid() for output in outputs.values() if output.contradicted is not None]
        return torch.stack(told).amax(0) if told else None

    def loss(self, outputs: Mapping[str, PriorOutput], vectors: PriorBatch) -> dict[str, Tensor]:
        """Losses of the parts, named by them where there are several."""
        losses = {}
        for name, part in self.parts.items():
            own = part.loss(outputs[name], vectors)
            losses |= own if len(self.parts) == 1 else {f"{key}_{name}": value for key, value in own.items()}
        return losses
