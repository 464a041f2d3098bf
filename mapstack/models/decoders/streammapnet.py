"""StreamMapNet's decoder (WACV 2024): one query an element, attention around all its points, queries that travel."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from mapstack.errors import ConfigError
from mapstack.models.temporal.queries import QueryPropagation
from mapstack.models.temporal.stream import Past
from mapstack.registry import MODELS
from mapstack.structures import MapElements

from .layers import MultiPointLayer, Tokens
from .queries import JoinsQueries, Queries
from .refining import RefiningDecoder

__all__ = ["StreamMapNetDecoder"]


@MODELS.register_module()
class StreamMapNetDecoder(RefiningDecoder):
    """Multi-point attention, and the best queries of the last frame in place of the worst of this one.

    After the first layer the ``num_propagated`` weakest queries make way for those of the frame before, moved by the
    ego motion (section 3.3); a frame without past keeps its own. Departures: points are refined in metres, where
    the released code regresses them anew in each layer, and the moved queries learn from the layers after them alone,
    without the auxiliary loss on the move.

    Args:
        grid: keyword arguments of the task's :class:`BEVGrid`.
        cell_m: edge of the BEV cells decoded from.
        in_channels: C of the BEV features.
        num_classes: K.
        num_propagated: queries carried from frame to frame; 0 has no memory.
        proposals: False learns the queries, as published; True begins at BEV proposals.
        field: see :class:`RefiningDecoder`.
        options: of :class:`RefiningDecoder`.
    """

    point_tokens = False

    def __init__(
        self,
        grid: dict,
        cell_m: float,
        in_channels: int,
        num_classes: int,
        num_propagated: int = 0,
        proposals: bool = False,
        field: bool = False,
        **options: object,
    ) -> None:
        super().__init__(grid, cell_m, in_channels, num_classes, proposals=proposals, field=field, **options)
        if num_propagated and (self.dims != 2 or num_propagated >= self.num_queries or len(self.layers) < 2):
            raise ConfigError(
                f"num_propagated={num_propagated} needs dims=2, more than that many queries and two layers or more; "
                f"got dims={self.dims}, {self.num_queries} queries, {len(self.layers)} layers"
            )
        self.propagation = (
            QueryPropagation(self.embed_dims, num_propagated, self.num_points, num_classes) if num_propagated else None
        )

    def make_layer(self) -> nn.Module:
        """Attention among elements, and to the BEV around all points of one."""
        return MultiPointLayer(self.grid, self.embed_dims, self.num_heads, self.num_samples, self.num_points)

    def initial_memory(self, bev: Tensor) -> dict[str, Tensor]:
        """One row of what a frame without past starts from."""
        return self.propagation.initial_memory(bev)

    @property
    def streams(self) -> bool:
        """Whether a frame's result depends on the frame before."""
        return self.propagation is not None

    def forward(self, bev: Tensor, past: Past | None = None, prior: JoinsQueries | None = None) -> dict[str, Tensor]:
        """Decode (B, C, rows, cols); with a past also ``memory``, the tensors for the next frame."""
        last = self._last_layer(bev, past, prior)
        return self._finish(last) | ({} if past is None else {"memory": self._memory(last)})

    def loss(
        self, bev: Tensor, truth: list[MapElements], past: Past | None = None, prior: JoinsQueries | None = None
    ) -> dict[str, Tensor] | tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The losses; with a past they and the memory for the next frame."""
        losses, last = self._train(bev, truth, past, prior)
        return losses if past is None else (losses, self._memory(last))

    def _memory(self, last: dict[str, Tensor]) -> dict[str, Tensor]:
        return self.propagation.keep(last["logits"], last["points"].detach(), last["tokens"][:, :, 0])

    def between_layers(
        self, scene: object, layer: int, queries: Queries, tokens: Tokens, output: dict[str, Tensor]
    ) -> tuple[Queries, Tokens]:
        """Behind the first layer, put what the past remembers in place of the weakest queries."""
        if layer > 0 or self.propagation is None or scene.past is None:
            return queries, tokens
        feats, points, scores = self.propagation(scene.past)
        best = output["logits"][:, : self.num_queries].sigmoid().amax(2).topk(self.num_queries, dim=1).indices
        valid, own = scene.past.valid, self.num_queries

        def exchanged(current: Tensor, carried: Tensor) -> Tensor:
            """Own rows best first, the last of them replaced; rows of other groups stay."""
            shape = (-1, -1, *current.shape[2:])
            ranked = current[:, :own].gather(1, best.view(*best.shape, *[1] * (current.ndim - 2)).expand(shape))
            keep = own - carried.shape[1]
            mask = valid.view(-1, *[1] * (current.ndim - 1))
            taken = torch.where(mask, carried, ranked[:, keep:])
            return torch.cat([ranked[:, :keep], taken, current[:, own:]], 1)

        labels = queries.labels
        moved = replace(
            queries,
            points=exchanged(queries.points, points),
            labels=None if labels is None else exchanged(labels, scores.argmax(2)),
        )
        return moved, Tokens(exchanged(tokens.points, feats[:, :, None]), None)
