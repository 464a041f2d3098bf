"""SuperMapNet's decoder (arXiv 2505.13856) on PivotNet's output (ICCV 2023), batched."""

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from mapstack.errors import ConfigError
from mapstack.models.decoders.interaction import InteractionLayer
from mapstack.models.decoders.layers import Tokens, mlp_head
from mapstack.models.decoders.polyline_decoder import PolylineDecoder
from mapstack.models.decoders.position import PointEmbedding
from mapstack.models.decoders.proposals import BEVProposals, Proposals
from mapstack.models.decoders.queries import LearnedQueries
from mapstack.models.decoders.uncertainty import LaplaceHead
from mapstack.registry import MODELS
from mapstack.structures import MapElements

from .attention import MaskedBEVAttention, opened
from .objective import PivotObjective
from .pivots import batch_pivots
from .straighten import straighten

__all__ = ["SuperMapNetDecoder"]

NO_SUCH_CLASS = -15.0  # logit of the classes that a query is not for: a score of 3e-7
STEP_M = 2.0  # what an output of 1 moves a point by
FIRST_PIVOT = 1.0  # logit of an untrained slot


@MODELS.register_module()
class SuperMapNetDecoder(PolylineDecoder):
    """Elements with masks and pivots: each class has its own queries, each query the point slots that its class needs.

    Points and elements attend to the BEV cells inside their element's mask, then interact at three levels. A slot
    that is no pivot lies on the straight line between its neighbours: polylines of any number of vertices leave as
    P points. Departures from the released code: points are refined from layer to layer in metres (there, a coordinate
    is the mean over the grid of a linear map, which is a linear layer, anew in every layer); pre-norm; heads shared
    by the layers; the interaction's own two, see :mod:`..interaction`; and batches of any size.

    Args:
        grid: keyword arguments of the task's :class:`BEVGrid`.
        cell_m: edge of the BEV cells decoded from.
        in_channels: C of the BEV features.
        num_classes: K.
        num_elements: queries of each class.
        num_pivots: most pivots of an element of each class.
        num_points: P of the truth; only proposals use it.
        embed_dims: width of the decoder.
        num_layers: decoder layers.
        num_heads: attention heads.
        stride: BEV cells along each side of a cell attended to.
        proposals: begin at BEV proposals; False learns the queries, as published.
        interaction: ``levels``, ``feed_back`` and ``own_points`` of :class:`InteractionLayer`.
        uncertainty: predict a Laplace scale for each coordinate.
        area_m2: of the triangle that makes a vertex a pivot.
        loss_weights: see :class:`PivotObjective`; and ``heat`` and ``proposal``.
        layer_weights: of the layers' losses; the last of the published six by default.
    """

    def __init__(
        self,
        grid: dict,
        cell_m: float,
        in_channels: int,
        num_classes: int,
        num_elements: Sequence[int] = (20, 25, 15),
        num_pivots: Sequence[int] = (10, 6, 30),
        num_points: int = 20,
        embed_dims: int = 256,
        num_layers: int = 6,
        num_heads: int = 8,
        stride: int = 2,
        proposals: bool = False,
        interaction: dict | None = None,
        uncertainty: bool = False,
        area_m2: float = 2.0,
        loss_weights: dict[str, float] | None = None,
        layer_weights: Sequence[float] | None = None,
    ) -> None:
        if not len(num_elements) == len(num_pivots) == num_classes:
            raise ConfigError(
                f"num_elements {num_elements} and num_pivots {num_pivots} need {num_classes} numbers each"
            )
        weights = {"heat": 1.0, "proposal": 0.5} | (loss_weights or {})
        super().__init__(grid, cell_m, num_classes, sum(num_elements), loss_weights=weights)
        self.num_elements, self.num_pivots, self.area_m2 = tuple(num_elements), tuple(num_pivots), area_m2
        self.objective = PivotObjective(num_elements, num_pivots, layer_weights, num_layers, self.loss_weights)
        self._build_start(in_channels, num_points, embed_dims, stride, proposals)
        look = partial(MaskedBEVAttention, embed_dims, num_heads)
        self.layers = nn.ModuleList(
            InteractionLayer(embed_dims, num_heads, look, **(interaction or {})) for _ in range(num_layers)
        )
        self.join = nn.Linear(2 * embed_dims, embed_dims)
        self.mask = mlp_head(2 * embed_dims, embed_dims)
        self.objectness = mlp_head(2 * embed_dims, 1)
        self.refine = mlp_head(embed_dims, 2)
        self.pivot = mlp_head(embed_dims, 1)
        for head, first in ((self.refine, 0.0), (self.pivot, FIRST_PIVOT)):
            nn.init.zeros_(head[-1].weight)
            nn.init.constant_(head[-1].bias, first)
        if uncertainty:
            self.scale = LaplaceHead(embed_dims, 2)

    def _build_start(self, in_channels: int, num_points: int, embed_dims: int, stride: int, proposals: bool) -> None:
        slots = max(self.num_pivots)
        labels = torch.arange(self.num_classes).repeat_interleave(torch.tensor(self.num_elements))
        counts = torch.tensor(self.num_pivots)[labels]
        self.register_buffer("labels", labels, persistent=False)
        self.register_buffer("missing", torch.arange(slots) >= counts[:, None], persistent=False)
        self.value = Conv2dNormActivation(in_channels, embed_dims, 3, stride=stride)
        self.position = PointEmbedding(embed_dims)
        self.point_embed = nn.Embedding(slots, embed_dims)
        self.element_class = nn.Embedding(self.num_classes, embed_dims)
        self.proposals = None
        if proposals:
            self.proposals = BEVProposals(self.grid, in_channels, self.num_classes, num_points, embed_dims)
            self.register_buffer("spread", _spread(counts, slots, num_points), persistent=False)
        else:
            self.learned = LearnedQueries(self.grid, self.num_queries, embed_dims, outputs=2, dims=2)

    def _start(self, bev: Tensor) -> tuple[Tensor, Tensor, Proposals | None]:
        """Points (B, Q, P, 2), elements (B, Q, C), and the proposals that they came from."""
        if self.proposals is None:
            element = self.learned.elements.weight + self.element_class(self.labels)
            points = self.learned.points(element[:, None] + self.point_embed.weight)
            batch = bev.shape[0]
            return points.expand(batch, -1, -1, -1), element.expand(batch, -1, -1), None
        proposals = self.proposals(bev)
        points, feats, _ = self.proposals.select_each(proposals, self.num_elements)
        return torch.einsum("qsp,bqpd->bqsd", self.spread, points), feats + self.element_class(self.labels), proposals

    def cell_centers(self, rows: int, cols: int) -> Tensor:
        """(rows * cols, 2) ego metres: the middles of the cells attended to."""
        like = self.element_class.weight
        y, x = torch.meshgrid(
            (torch.arange(rows, device=like.device) + 0.5) / rows,
            (torch.arange(cols, device=like.device) + 0.5) / cols,
            indexing="ij",
        )
        return self.grid.ego_from_patch(torch.stack([x, y], -1).flatten(0, 1).to(like))

    def _decode(self, bev: Tensor) -> tuple[list[dict[str, Tensor]], Tensor, Proposals | None]:
        """Outputs of every layer, the middles (M, 2) of the cells that masks cover, and the proposals."""
        cells = self.value(bev)
        centers = self.cell_centers(*cells.shape[-2:])
        cells = cells.flatten(2).transpose(1, 2)  # (B, M, C)
        value = cells + self.position(centers)
        points, element, proposals = self._start(bev)
        tokens, outputs = Tokens(element[:, :, None] + self.point_embed.weight, element), []
        covered = opened(self._masks(tokens, cells))
        for i, layer in enumerate(self.layers):
            reference = points if i == 0 and proposals is None else points.detach()
            position = self.position(reference)
            tokens, shown = layer(tokens, position, (covered, covered), value, missing=self.missing)
            outputs.append(self._read(shown, reference, cells))
            points, covered = outputs[-1]["points"], opened(outputs[-1]["masks"])
        return outputs, centers, proposals

    def _whole(self, tokens: Tokens) -> Tensor:
        """(B, Q, 2 C): the largest of each channel over an element's points, and the element's own token."""
        largest = tokens.points.masked_fill(self.missing[..., None], -1e4).amax(2)
        return torch.cat([largest, tokens.elements], -1)

    def _masks(self, tokens: Tokens, cells: Tensor) -> Tensor:
        """(B, Q, M) logits that a cell is on the element."""
        return self.mask(self._whole(tokens)) @ cells.transpose(1, 2) / cells.shape[-1] ** 0.5

    def _read(self, tokens: Tokens, reference: Tensor, cells: Tensor) -> dict[str, Tensor]:
        """What the heads say of one layer's tokens."""
        element = tokens.elements[:, :, None].expand_as(tokens.points)
        joint = self.join(torch.cat([tokens.points, element], -1))
        output = {
            "objects": self.objectness(self._whole(tokens))[..., 0],
            "masks": self._masks(tokens, cells),
            "points": reference + self.refine(joint) * STEP_M,
            "pivots": self.pivot(joint)[..., 0],
        }
        return output if self.scale is None else output | {"scales": self.scale(joint)}

    def forward(self, bev: Tensor) -> dict[str, Tensor]:
        """Decode (B, C, rows, cols); see :class:`PolylineDecoder` for what comes back."""
        output = self._decode(bev)[0][-1]
        own = F.one_hot(self.labels, self.num_classes).bool()
        done = {
            "logits": torch.where(own, output["objects"][..., None], NO_SUCH_CLASS),
            "points": straighten(output["points"], output["pivots"], self.missing),
        }
        return done if self.scale is None else done | {"scales": output["scales"]}

    def loss(self, bev: Tensor, truth: list[MapElements]) -> dict[str, Tensor]:
        """Losses of (B, C, rows, cols) against B frames of truth; frames without an element train too."""
        found = batch_pivots(truth, bev.device, self.num_pivots, self.area_m2)
        outputs, centers, proposals = self._decode(bev)
        losses = {}
        if proposals is not None:
            dense = self.proposals.loss(proposals, found.target)
            losses = {key: self.loss_weights[key.removeprefix("loss_")] * value for key, value in dense.items()}
        return losses | self.objective(outputs, found, self.labels, self.missing, centers)


def _spread(counts: Tensor, slots: int, num_points: int) -> Tensor:
    """(Q, slots, num_points) weights that lay each query's slots evenly along its proposed points."""
    at = torch.arange(slots) / (counts[:, None] - 1) * (num_points - 1)  # (Q, slots)
    at = at.clamp(max=num_points - 1)
    return (1 - (at[..., None] - torch.arange(num_points)).abs()).clamp(min=0)
