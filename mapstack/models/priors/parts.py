"""The ways in which a model can use prior maps: as vectors, and as a drawn map."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from mapstack.errors import ConfigError
from mapstack.geometry import BEVGrid
from mapstack.models.building import build_part
from mapstack.registry import MODELS
from mapstack.structures import PriorBatch
from mapstack.structures.prior_map import PRIOR_CLASSES, PRIOR_SOURCES

from .addition import GatedAddition
from .batch import only
from .bev_attention import BEVVectorAttention
from .change import ChangeHead
from .nearness import coarse_centers, nearness
from .queries import HPQuery, PriorQueries, is_one_of

__all__ = ["PriorOutput", "RasterPrior", "VectorPrior"]

NOBODY_ASKED = -20.0  # logit of a vector that a part does not see


@dataclass(frozen=True)
class PriorOutput:
    """What a part makes of B frames.

    Args:
        bev: (B, C, rows, cols) the map with what the priors add.
        queries: for the decoder; None where the part makes none.
        contradicted: (B, N) logits that the sensors contradict a vector; None from a part that scores none.
    """

    bev: Tensor
    queries: PriorQueries | None = None
    contradicted: Tensor | None = None


class _Part(BaseModule):
    """A part that sees some kinds of maps.

    Args:
        sources: of :data:`mapstack.structures.prior_map.PRIOR_SOURCES`, by name; None for all.
    """

    makes_queries = False

    def __init__(self, sources: Sequence[str] | None) -> None:
        super().__init__()
        unknown = sorted(set(sources or ()) - set(PRIOR_SOURCES))
        if unknown:
            raise ConfigError(f"unknown sources of priors {unknown}; choose from {PRIOR_SOURCES}")
        self._numbers = None if sources is None else tuple(PRIOR_SOURCES.index(name) for name in sources)

    def seen(self, vectors: PriorBatch) -> PriorBatch:
        """The vectors of this part's sources."""
        return only(vectors, is_one_of(vectors.sources, self._numbers))

    def loss(self, output: PriorOutput, vectors: PriorBatch) -> dict[str, Tensor]:
        """No loss of its own."""
        return {}


@MODELS.register_module()
class VectorPrior(_Part):
    """Prior vectors through an encoder, to BEV cells as keys and to the decoder as queries.

    Args:
        grid: keyword arguments of the task's :class:`BEVGrid`.
        cell_m: edge of the BEV cells.
        in_channels: C of the encoded BEV map.
        num_classes: of the decoder.
        decoder_dims: width of the decoder; None where it takes no queries.
        encoder: :class:`UnifiedVectorEncoder` or :class:`PolylineSequenceEncoder`.
        attention: arguments of :class:`BEVVectorAttention`; None leaves the BEV map alone.
        queries: arguments of :class:`HPQuery`; None makes no queries.
        change: arguments of :class:`ChangeHead`; None trusts every vector, and scores none. A vector that is sooner
            contradicted than not is taken for absent: with none left, the frame is decoded as if there were no map.
        change_weight: of its loss.
        sources: kinds of maps that this part sees; None for all.
    """

    def __init__(
        self,
        grid: dict,
        cell_m: float,
        in_channels: int,
        num_classes: int,
        encoder: dict,
        decoder_dims: int | None = None,
        attention: dict | None = None,
        queries: dict | None = None,
        change: dict | None = None,
        change_weight: float = 1.0,
        sources: Sequence[str] | None = None,
    ) -> None:
        super().__init__(sources)
        if attention is None and queries is None:
            raise ConfigError("VectorPrior reaches nothing: set attention, queries, or both")
        if queries is not None and decoder_dims is None:
            raise ConfigError("VectorPrior makes queries and the decoder takes none; set queries=None")
        bev_grid = BEVGrid(**grid).with_cell(cell_m)
        self.encoder = build_part(encoder, {"grid": grid})
        width = self.encoder.embed_dims
        self.attention = None if attention is None else BEVVectorAttention(bev_grid, in_channels, width, **attention)
        self.queries = None if queries is None else HPQuery(width, decoder_dims, num_classes, **queries)
        self.change = None if change is None else ChangeHead(bev_grid, in_channels, width, **change)
        self.change_weight = change_weight

    @property
    def makes_queries(self) -> bool:
        """Whether the decoder must take priors."""
        return self.queries is not None

    def forward(self, bev: Tensor, vectors: PriorBatch) -> PriorOutput:
        """Show the vectors of B frames to (B, C, rows, cols) and to the decoder."""
        vectors = self.seen(vectors)
        tokens = self.encoder(vectors)
        contradicted, trust = None, torch.ones_like(vectors.confidence)
        if self.change is not None:
            contradicted = self.change(bev, vectors, tokens)
            contradicted = torch.where(vectors.valid, contradicted, torch.full_like(contradicted, NOBODY_ASKED))
            trust = (-contradicted).sigmoid()
            vectors = only(vectors, contradicted <= 0)
        queries = None if self.queries is None else self.queries(vectors, tokens, trust)
        if self.attention is not None:
            bev = self.attention(bev, vectors, tokens, trust)
        return PriorOutput(bev, queries, contradicted)

    def loss(self, output: PriorOutput, vectors: PriorBatch) -> dict[str, Tensor]:
        """Cross-entropy against the lists of changes; 0 where they tell of no vector."""
        if output.contradicted is None:
            return {}
        known = (self.seen(vectors).valid & (vectors.changed >= 0)).to(output.contradicted.dtype)
        changed = vectors.changed.clamp(min=0).to(output.contradicted.dtype)
        loss = F.binary_cross_entropy_with_logits(output.contradicted, changed, weight=known, reduction="sum")
        return {"loss_change": self.change_weight * loss / known.sum().clamp(min=1.0)}


@MODELS.register_module()
class RasterPrior(_Part):
    """Priors drawn on the BEV grid, a layer a class, through a small CNN, beside the BEV map.

    The raster form of SMERF's comparison and of the SD-map study (IROS 2024), whose code is not released: lines
    2.5 m wide, as SMERF draws them. They are drawn with soft edges, from the same vectors that the other parts get.

    Args:
        grid: keyword arguments of the task's :class:`BEVGrid`.
        cell_m: edge of the BEV cells.
        in_channels: C of the encoded BEV map.
        width_m: of the drawn lines.
        channels: of the CNN's layers.
        stride: cells of the map to a drawn one, along each side.
        sources: kinds of maps that this part sees; None for all.
    """

    def __init__(
        self,
        grid: dict,
        cell_m: float,
        in_channels: int,
        width_m: float = 2.5,
        channels: tuple[int, ...] = (32, 32, 32),
        stride: int = 2,
        sources: Sequence[str] | None = None,
    ) -> None:
        super().__init__(sources)
        self.grid, self.width_m = BEVGrid(**grid).with_cell(cell_m), width_m
        widths = (len(PRIOR_CLASSES), *channels)
        self.encoder = nn.Sequential(
            *[
                Conv2dNormActivation(a, b, 3, dilation=2**i)
                for i, (a, b) in enumerate(zip(widths, channels, strict=False))
            ]
        )
        self.addition = GatedAddition(in_channels, channels[-1], stride)

    def draw(self, vectors: PriorBatch) -> Tensor:
        """(B, classes, h, w) in [0, 1]."""
        centers = coarse_centers(self.grid, self.addition.stride, vectors.points)
        distance = nearness(centers.flatten(0, 1), vectors.points).distance  # (B, M, N)
        edge_m = self.addition.stride * self.grid.cell_m
        ink = (0.5 + (self.width_m / 2 - distance) / edge_m).clamp(0, 1)
        layers = []
        for label in range(len(PRIOR_CLASSES)):
            shown = (vectors.valid & (vectors.labels == label))[:, None]
            layers.append(torch.where(shown, ink, torch.zeros_like(ink)).amax(2))
        return torch.stack(layers, 1).unflatten(2, tuple(centers.shape[:2]))

    def forward(self, bev: Tensor, vectors: PriorBatch) -> PriorOutput:
        """Add the drawn priors of B frames to (B, C, rows, cols)."""
        vectors = self.seen(vectors)
        said = self.encoder(self.draw(vectors))
        return PriorOutput(self.addition(bev, self.addition.coarse(bev), said, vectors.valid.any(1)))
