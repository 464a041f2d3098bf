"""MapTR's hierarchical queries (ICLR 2023), attention decoupled as in MapTRv2 (IJCV 2024), begun at BEV proposals."""

import torch
from torch import Tensor, nn

from mapstack.geometry import BEVGrid
from mapstack.models.losses import class_loss, direction_loss, point_loss
from mapstack.models.matching import Assignment, TargetBatch, batch_targets
from mapstack.registry import MODELS, TASK_UTILS
from mapstack.structures import MapElements

from .attraction import AttractionField
from .deformable import BEVDeformableAttention
from .denoising import DenoisingQueries
from .position import PointEmbedding
from .proposals import BEVProposals

__all__ = ["MapTRDecoder"]


class _DecoderLayer(nn.Module):
    """Attention among an element's points, among elements, and to the BEV; then a feed-forward block. Pre-norm."""

    def __init__(self, grid: BEVGrid, embed_dims: int, num_heads: int, num_samples: int) -> None:
        super().__init__()
        self.within = nn.MultiheadAttention(embed_dims, num_heads, batch_first=True)
        self.between = nn.MultiheadAttention(embed_dims, num_heads, batch_first=True)
        self.to_bev = BEVDeformableAttention(grid, embed_dims, num_heads, num_samples)
        self.feed_forward = nn.Sequential(
            nn.Linear(embed_dims, 2 * embed_dims), nn.ReLU(inplace=True), nn.Linear(2 * embed_dims, embed_dims)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(embed_dims) for _ in range(4))

    def forward(self, x: Tensor, position: Tensor, reference: Tensor, value: Tensor, blocked: Tensor | None) -> Tensor:
        """Update (B, Q, P, C) tokens; ``blocked`` (Q, Q) is True where elements must not see each other."""
        batch, queries, points, _ = x.shape
        tokens = (self.norms[0](x) + position).flatten(0, 1)  # (B Q, P, C)
        x = x + self.within(tokens, tokens, tokens, need_weights=False)[0].unflatten(0, (batch, queries))
        tokens = (self.norms[1](x) + position).transpose(1, 2).flatten(0, 1)  # (B P, Q, C)
        seen = self.between(tokens, tokens, tokens, attn_mask=blocked, need_weights=False)[0]
        x = x + seen.unflatten(0, (batch, points)).transpose(1, 2)
        x = x + self.to_bev(self.norms[2](x) + position, reference, value)
        return x + self.feed_forward(self.norms[3](x))


@MODELS.register_module()
class MapTRDecoder(nn.Module):
    """Polylines from BEV features.

    A query is an element x point pair. Its element part comes from the BEV cell that proposed the element,
    its point part is learned; its reference point is the proposed point, refined layer by layer.

    Args:
        grid: keyword arguments of the task's :class:`BEVGrid`.
        cell_m: edge of the BEV cells decoded from.
        in_channels: C of the BEV features.
        num_classes: K.
        num_points: P.
        num_queries: elements predicted per frame.
        embed_dims: width of the decoder.
        num_layers: refinement layers.
        num_heads: attention heads.
        num_samples: BEV samples per head and point.
        denoising: keyword arguments of :class:`DenoisingQueries`; None trains without.
        matcher: built from TASK_UTILS.
        loss_weights: weights of ``class``, ``point``, ``direction``, ``heat``, ``proposal``, ``field``.
    """

    def __init__(
        self,
        grid: dict,
        cell_m: float,
        in_channels: int,
        num_classes: int,
        num_points: int = 20,
        num_queries: int = 50,
        embed_dims: int = 96,
        num_layers: int = 3,
        num_heads: int = 4,
        num_samples: int = 4,
        denoising: dict | None = None,
        matcher: dict | None = None,
        loss_weights: dict[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.grid = BEVGrid(**grid).with_cell(cell_m)
        self.num_classes, self.num_queries = num_classes, num_queries
        self.proposals = BEVProposals(self.grid, in_channels, num_classes, num_points, embed_dims)
        self.field = AttractionField(self.grid, in_channels, num_classes)
        self.value = nn.Conv2d(in_channels + 2 * num_classes, embed_dims, 1)
        self.see_pull = nn.Linear(2, embed_dims)
        self.gate = nn.Parameter(torch.ones(num_layers))  # of the pull; a sigmoid takes it to 0.73
        self.element_class = nn.Embedding(num_classes, embed_dims)
        self.point_embed = nn.Embedding(num_points, embed_dims)
        self.position = PointEmbedding(embed_dims)
        self.layers = nn.ModuleList(
            _DecoderLayer(self.grid, embed_dims, num_heads, num_samples) for _ in range(num_layers)
        )
        self.refine = nn.ModuleList(self._head(embed_dims, 2) for _ in range(num_layers))
        self.classify = nn.ModuleList(self._head(embed_dims, num_classes) for _ in range(num_layers))
        for head in self.refine:
            nn.init.zeros_(head[-1].weight)
            nn.init.zeros_(head[-1].bias)
        for head in self.classify:
            nn.init.constant_(head[-1].bias, -3.0)
        self.denoising = DenoisingQueries(self.grid, num_classes, **denoising) if denoising is not None else None
        self.matcher = TASK_UTILS.build(matcher or {"type": "PolylineMatcher"})
        weights = {"class": 2.0, "point": 1.0, "direction": 0.2, "heat": 1.0, "proposal": 0.5, "field": 2.0}
        self.loss_weights = weights | (loss_weights or {})

    @staticmethod
    def _head(embed_dims: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(
            nn.LayerNorm(embed_dims), nn.Linear(embed_dims, embed_dims), nn.ReLU(), nn.Linear(embed_dims, outputs)
        )

    def forward(self, bev: Tensor) -> dict[str, Tensor]:
        """Decode (B, C, rows, cols).

        Returns:
            ``logits`` (B, Q, K) and ``points`` (B, Q, P, 2) ego metres of the last layer.
        """
        proposals = self.proposals(bev)
        points, feats, labels = self.proposals.select(proposals, self.num_queries)
        return self._decode(bev, self.field(bev), points, feats, labels, None)[-1]

    def _decode(
        self, bev: Tensor, field: Tensor, points: Tensor, feats: Tensor, labels: Tensor, blocked: Tensor | None
    ) -> list[dict[str, Tensor]]:
        field = field.detach()  # it learns from its own dense loss
        value = self.value(torch.cat([bev, field / self.field.radius_m], 1))
        element = feats + self.element_class(labels)
        x = element[:, :, None] + self.point_embed.weight  # (B, Q, P, C)
        outputs = []
        for i, layer in enumerate(self.layers):
            reference = points.detach()
            pull = self.field.pull(field, reference, labels)
            position = self.position(reference) + self.see_pull(pull)
            x = layer(x, position, reference, value, blocked)
            points = reference + self.gate[i].sigmoid() * pull + self.refine[i](x) * 2.0  # an output of 1 is 2 m
            outputs.append({"logits": self.classify[i](x.mean(2)), "points": points})
        return outputs

    def loss(self, bev: Tensor, truth: list[MapElements]) -> dict[str, Tensor]:
        """Losses of (B, C, rows, cols) against B frames of truth; frames without an element train too."""
        target = batch_targets(truth, bev.device)
        proposals = self.proposals(bev)
        field = self.field(bev)
        losses = self.proposals.loss(proposals, target) | {"loss_field": self.field.loss(field, target)}
        losses = {key: self.loss_weights[key.removeprefix("loss_")] * value for key, value in losses.items()}
        points, feats, labels = self.proposals.select(proposals, self.num_queries)
        noised = None
        if self.denoising is not None and target.valid.shape[1]:
            noised = self.denoising(target, proposals.feats)
            points = torch.cat([points, noised.points], 1)
            feats, labels = torch.cat([feats, noised.feats], 1), torch.cat([labels, noised.labels], 1)
        blocked = noised.blocked(self.num_queries) if noised is not None else None
        outputs = self._decode(bev, field, points, feats, labels, blocked)
        for i, output in enumerate(outputs):
            own = {key: value[:, : self.num_queries] for key, value in output.items()}
            match = self.matcher(own["logits"], own["points"], target)
            losses |= self._layer_losses(own, target, match, target.num_elements, f"_{i}")
            if noised is not None:
                extra = {key: value[:, self.num_queries :] for key, value in output.items()}
                match, count = noised.assignment, max(len(noised.assignment), 1)
                losses |= self._layer_losses(extra, target, match, bev.new_tensor(float(count)), f"_denoise_{i}")
        return losses

    def _layer_losses(
        self, output: dict[str, Tensor], target: TargetBatch, match: Assignment, normalizer: Tensor, suffix: str
    ) -> dict[str, Tensor]:
        labels = torch.full(output["logits"].shape[:2], self.num_classes, device=output["logits"].device)
        labels[match.frame, match.query] = target.labels[match.frame, match.element]
        points = output["points"][match.frame, match.query]
        true_points = target.points[match.frame, match.element, match.order]
        weight = self.loss_weights
        return {
            f"loss_class{suffix}": weight["class"] * class_loss(output["logits"], labels, normalizer),
            f"loss_point{suffix}": weight["point"] * point_loss(points, true_points, normalizer),
            f"loss_direction{suffix}": weight["direction"] * direction_loss(points, true_points, normalizer),
        }

    def predict(self, output: dict[str, Tensor]) -> list[MapElements]:
        """The ``num_queries`` best (query, class) pairs of each frame, best first; points inside the patch."""
        scores = output["logits"].sigmoid()
        best, index = scores.flatten(1).topk(self.num_queries, dim=1)
        low_x, low_y, high_x, high_y = self.grid.box_xy
        low, high = scores.new_tensor([low_x, low_y]), scores.new_tensor([high_x, high_y])
        points = torch.maximum(torch.minimum(output["points"], high), low)
        return [
            MapElements(
                points=points[frame, index[frame] // self.num_classes],
                labels=index[frame] % self.num_classes,
                scores=best[frame],
            )
            for frame in range(len(scores))
        ]
