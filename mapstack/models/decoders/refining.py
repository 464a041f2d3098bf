"""Element queries refined layer by layer over the BEV: the frame that MapTR, MapTRv2 and StreamMapNet fill in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapstack.errors import ConfigError
from mapstack.models.matching import TargetBatch, batch_targets
from mapstack.models.temporal.stream import Past
from mapstack.structures import MapElements

from .attraction import AttractionField
from .denoising import DenoisingQueries, NoisedQueries, separate
from .lane_graph import LaneGraphHead
from .layers import Tokens, mlp_head
from .polyline_decoder import PolylineDecoder
from .position import PointEmbedding
from .proposals import BEVProposals, Proposals
from .queries import JoinsQueries, LearnedQueries, Queries, hide_absent, midpoints
from .uncertainty import LaplaceHead

__all__ = ["RefiningDecoder"]

STEP_M = 2.0  # what an output of 1 moves a point by
ABSENT = -1e4  # logit of a place that holds no query


@dataclass(frozen=True)
class _Scene:
    """What the layers of one forward pass read.

    Args:
        value: (B, C, rows, cols).
        proposals: of the cells; None for learned queries.
        field: (B, 2 K, rows, cols) attraction; None without.
        past: what the frames before left; None for a decoder without memory.
        prior: prior vectors that join the queries; None without.
    """

    value: Tensor
    proposals: Proposals | None
    field: Tensor | None
    past: Past | None
    prior: JoinsQueries | None


class RefiningDecoder(PolylineDecoder):
    """Polylines from BEV features, by queries whose points are refined layer by layer.

    Queries begin at BEV proposals (their element part comes from the cell that proposed it) or are learned; an
    attraction field pulls points onto lines before the decoder has learned to. A subclass makes the layers.

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
        dims: coordinates of a point, 2 or 3.
        proposals: begin at BEV proposals; False learns the queries.
        field: attraction field; needs proposals, whose class says which lines attract.
        denoising: keyword arguments of :class:`DenoisingQueries`; None trains without.
        one_to_many: ``num_queries``, ``repeats`` and ``weight`` of a second group of queries, in training only, of
            which each element gets ``repeats`` (MapTRv2, section 3.4); None trains without.
        uncertainty: predict a Laplace scale for each coordinate.
        lane_graph: keyword arguments of :class:`LaneGraphHead`; None predicts no edges.
        matcher: built from TASK_UTILS.
        loss_weights: weights of ``class``, ``point``, ``direction``, ``scale``, ``heat``, ``proposal``, ``field``.
    """

    point_tokens = True  # a token a point; False: one token for an element
    takes_priors = True

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
        dims: int = 2,
        proposals: bool = True,
        field: bool = True,
        denoising: dict | None = None,
        one_to_many: dict | None = None,
        uncertainty: bool = False,
        lane_graph: dict | None = None,
        matcher: dict | None = None,
        loss_weights: dict[str, float] | None = None,
    ) -> None:
        weights = {"heat": 1.0, "proposal": 0.5, "field": 2.0} | (loss_weights or {})
        super().__init__(grid, cell_m, num_classes, num_queries, dims, matcher, weights)
        if field and not proposals:
            raise ConfigError("an attraction field needs proposals=True: a learned query has no class to be pulled by")
        self.num_points, self.embed_dims = num_points, embed_dims
        self.num_heads, self.num_samples = num_heads, num_samples
        self.one_to_many = None if one_to_many is None else {"weight": 1.0, **one_to_many}
        self._build_start(in_channels, proposals, field, num_layers, denoising is not None)
        outputs = dims if self.point_tokens else num_points * dims
        self.layers = nn.ModuleList(self.make_layer() for _ in range(num_layers))
        self.refine = nn.ModuleList(mlp_head(embed_dims, outputs) for _ in range(num_layers))
        self.classify = nn.ModuleList(mlp_head(embed_dims, num_classes) for _ in range(num_layers))
        for head in self.refine:
            nn.init.zeros_(head[-1].weight)
            nn.init.zeros_(head[-1].bias)
        for head in self.classify:
            nn.init.constant_(head[-1].bias, -3.0)
        self.denoising = DenoisingQueries(self.grid, num_classes, **denoising) if denoising is not None else None
        if uncertainty:
            self.scale = LaplaceHead(embed_dims, outputs)
        self.lane_graph = (
            None if lane_graph is None else LaneGraphHead(embed_dims, num_classes=num_classes, **lane_graph)
        )
        if not proposals:
            many = 0 if self.one_to_many is None else self.one_to_many["num_queries"]
            self.learned = LearnedQueries(self.grid, num_queries + many, embed_dims, outputs, dims)

    def _build_start(self, in_channels: int, proposals: bool, field: bool, num_layers: int, noised: bool) -> None:
        """Everything before the layers; built in this order, a seed gives the weights it always gave."""
        args = (self.grid, in_channels, self.num_classes)
        self.proposals = BEVProposals(*args, self.num_points, self.embed_dims) if proposals else None
        self.field = AttractionField(*args) if field else None
        self.value = nn.Conv2d(in_channels + (2 * self.num_classes if field else 0), self.embed_dims, 1)
        if field:
            self.see_pull = nn.Linear(2, self.embed_dims)
            self.gate = nn.Parameter(torch.ones(num_layers))  # of the pull; a sigmoid takes it to 0.73
        if proposals or noised:
            self.element_class = nn.Embedding(self.num_classes, self.embed_dims)
        if self.point_tokens:
            self.point_embed = nn.Embedding(self.num_points, self.embed_dims)
        self.position = PointEmbedding(self.embed_dims)

    def make_layer(self) -> nn.Module:
        """One layer, with the interface of :class:`DecoupledLayer`."""
        raise NotImplementedError

    def _scene(self, bev: Tensor, past: Past | None, prior: JoinsQueries | None) -> _Scene:
        proposals = None if self.proposals is None else self.proposals(bev)
        if self.field is None:
            return _Scene(self.value(bev), proposals, None, past, prior)
        field = self.field(bev)
        # Detached for the layers: it learns from its own dense loss.
        seen = torch.cat([bev, field.detach() / self.field.radius_m], 1)
        return _Scene(self.value(seen), proposals, field, past, prior)

    def _tokens(self, element: Tensor) -> Tensor:
        """(..., Q, C) elements to tokens (..., Q, P, C), or (..., Q, 1, C)."""
        return element[..., None, :] + self.point_embed.weight if self.point_tokens else element[..., None, :]

    def _queries(self, scene: _Scene, num_queries: int, first: int = 0) -> Queries:
        """``num_queries`` queries: the hottest proposals, or the learned ones from number ``first``."""
        if scene.proposals is None:
            batch = scene.value.shape[0]
            element = self.learned.elements.weight[first : first + num_queries]
            points = self.learned.points(self._tokens(element))
            return Queries(points.expand(batch, -1, -1, -1), element.expand(batch, -1, -1), None)
        points, feats, labels = self.proposals.select(scene.proposals, num_queries)
        return Queries(F.pad(points, (0, self.dims - 2)), feats + self.element_class(labels), labels)

    def _main_queries(self, scene: _Scene) -> Queries:
        """Those that inference has: the decoder's own, and the priors among them."""
        own = self._queries(scene, self.num_queries)
        if scene.prior is None:
            return own
        points, labels = scene.prior.points, scene.prior.labels
        feats = scene.value if scene.proposals is None else scene.proposals.feats
        at = self.grid.patch_from_ego(midpoints(points)[:, :, None]) * 2 - 1
        context = F.grid_sample(feats, at, align_corners=False)[..., 0].transpose(1, 2)
        if own.labels is not None:  # then a prior begins as noised truth does in training
            named = (labels < self.num_classes)[..., None]
            context = context + named * self.element_class(labels.clamp(max=self.num_classes - 1))
        return scene.prior.join(own, context)

    def forward(self, bev: Tensor, prior: JoinsQueries | None = None) -> dict[str, Tensor]:
        """Decode (B, C, rows, cols); see :class:`PolylineDecoder` for what comes back."""
        return self._finish(self._last_layer(bev, None, prior))

    def _last_layer(self, bev: Tensor, past: Past | None, prior: JoinsQueries | None) -> dict[str, Tensor]:
        scene = self._scene(bev, past, prior)
        return self._decode(scene, self._main_queries(scene), None)[-1]

    def between_layers(
        self, scene: _Scene, layer: int, queries: Queries, tokens: Tokens, output: dict[str, Tensor]
    ) -> tuple[Queries, Tokens]:
        """What the next layer begins with; a decoder with memory puts it among the queries here."""
        return queries, tokens

    def _decode(self, scene: _Scene, queries: Queries, blocked: Tensor | None) -> list[dict[str, Tensor]]:
        """Run the layers; of each its ``logits``, ``points``, and the ``tokens`` and ``elements`` that heads read."""
        tokens = Tokens(self._tokens(queries.element), queries.element)
        if queries.point_feats is not None:
            feats = queries.point_feats if self.point_tokens else queries.point_feats.mean(2, keepdim=True)
            tokens = tokens._replace(points=tokens.points + feats)
        blocked, outputs, present = hide_absent(blocked, queries.present), [], queries.present
        for i, layer in enumerate(self.layers):
            # A learned start has no loss of its own, so the first layer's reaches it.
            reference = queries.points if i == 0 and queries.labels is None else queries.points.detach()
            ground = reference[..., :2]
            position, moved = self.position(ground), reference
            if scene.field is not None:
                pull = self.field.pull(scene.field.detach(), ground, queries.labels)
                position = position + self.see_pull(pull)
                moved = reference + F.pad(self.gate[i].sigmoid() * pull, (0, self.dims - 2))
            tokens, shown = layer(tokens, position, ground, scene.value, blocked)
            points = moved + self.refine[i](shown.points).reshape(moved.shape) * STEP_M
            summary = shown.summary()
            logits = self.classify[i](summary)
            told = points
            if present is not None:
                logits = torch.where(present[..., None], logits, logits.new_tensor(ABSENT))
                told = torch.where(present[..., None, None], points, torch.zeros_like(points))
            outputs.append({"logits": logits, "points": told, "tokens": shown.points, "elements": summary})
            queries, tokens = self.between_layers(scene, i, replace(queries, points=points), tokens, outputs[-1])
        return outputs

    def _finish(self, output: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the decoder returns of its last layer, with scales and edges where there are such heads."""
        done = {"logits": output["logits"], "points": output["points"]}
        if self.scale is not None:
            done["scales"] = self.scale(output["tokens"]).reshape(done["points"].shape)
        if self.lane_graph is not None:
            done["topology"] = self.lane_graph(output["elements"], done["points"])
        return done

    def loss(self, bev: Tensor, truth: list[MapElements], prior: JoinsQueries | None = None) -> dict[str, Tensor]:
        """Losses of (B, C, rows, cols) against B frames of truth; frames without an element train too."""
        return self._train(bev, truth, None, prior)[0]

    def _train(
        self, bev: Tensor, truth: list[MapElements], past: Past | None, prior: JoinsQueries | None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The losses, and what the last layer says of the queries that inference has too."""
        target = batch_targets(truth, bev.device, self.dims)
        scene = self._scene(bev, past, prior)
        losses = self._dense_losses(scene, target)
        parts = [self._main_queries(scene)]
        if self.one_to_many is not None:
            parts.append(self._queries(scene, self.one_to_many["num_queries"], first=self.num_queries))
        noised = self._noised(scene, target)
        if noised is not None:
            parts.append(Queries(noised.points, noised.feats + self.element_class(noised.labels), noised.labels))
        sizes = [part.points.shape[1] for part in parts]
        outputs = self._decode(scene, Queries.join(parts), self._blocked(sizes, noised))
        for i, output in enumerate(outputs):
            split = {key: value.split(sizes, 1) for key, value in output.items()}
            groups = [{key: value[part] for key, value in split.items()} for part in range(len(sizes))]
            own = self._finish(groups[0]) if i == len(outputs) - 1 else groups[0]
            match = self.matcher(own["logits"], own["points"], target, present=parts[0].present)
            losses |= self.layer_losses(own, target, match, target.num_elements, f"_{i}")
            losses |= self._extra_losses(groups[1:], target, noised, i)
        return losses, groups[0]

    def _dense_losses(self, scene: _Scene, target: TargetBatch) -> dict[str, Tensor]:
        losses = {} if scene.proposals is None else self.proposals.loss(scene.proposals, target)
        if scene.field is not None:
            losses["loss_field"] = self.field.loss(scene.field, target)
        return {key: self.loss_weights[key.removeprefix("loss_")] * value for key, value in losses.items()}

    def _noised(self, scene: _Scene, target: TargetBatch) -> NoisedQueries | None:
        if self.denoising is None or not target.valid.shape[1]:
            return None
        return self.denoising(target, scene.value if scene.proposals is None else scene.proposals.feats)

    def _blocked(self, sizes: Sequence[int], noised: NoisedQueries | None) -> Tensor | None:
        """(T, T) bool: groups of queries do not see each other; None for one group alone."""
        if len(sizes) == 1:
            return None
        plain = sizes if noised is None else sizes[:-1]
        device = self.value.weight.device
        groups = [torch.full((size,), -1 - number, device=device) for number, size in enumerate(plain)]
        return separate(torch.cat([*groups, *([] if noised is None else [noised.groups()])]))

    def _extra_losses(
        self, groups: list[dict[str, Tensor]], target: TargetBatch, noised: NoisedQueries | None, layer: int
    ) -> dict[str, Tensor]:
        """Losses of the groups that only train: one-to-many, then denoising."""
        losses = {}
        if self.one_to_many is not None:
            many, repeats = groups[0], self.one_to_many["repeats"]
            match = self.matcher(many["logits"], many["points"], target, repeats)
            found = self.layer_losses(many, target, match, target.num_elements * repeats, f"_many_{layer}")
            losses |= {key: self.one_to_many["weight"] * value for key, value in found.items()}
        if noised is not None:
            match, like = noised.assignment, groups[-1]["points"]
            count = like.new_tensor(float(max(len(match), 1)))
            losses |= self.layer_losses(groups[-1], target, match, count, f"_denoise_{layer}")
        return losses
