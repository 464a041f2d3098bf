"""What every decoder of polylines does alike: the losses of matched elements, and the prediction of a frame."""

import torch
from torch import Tensor, nn

from mapstack.errors import ConfigError
from mapstack.geometry import BEVGrid
from mapstack.models.losses import class_loss, direction_loss, laplace_loss, point_loss
from mapstack.models.matching import Assignment, TargetBatch
from mapstack.registry import TASK_UTILS
from mapstack.structures import MapElements

from .lane_graph import LaneGraphHead

__all__ = ["PolylineDecoder"]

DEFAULT_WEIGHTS = {"class": 2.0, "point": 1.0, "direction": 0.2, "scale": 0.1}


class PolylineDecoder(nn.Module):
    """Base of the decoders: ``forward(bev)``, ``loss(bev, truth)`` and ``predict(output)``.

    ``forward`` returns ``logits`` (B, Q, K) and ``points`` (B, Q, P, D) ego metres, and where they are configured
    ``scales`` (B, Q, P, D) metres and ``topology`` (B, Q, Q) logits that row leads to column.

    Args:
        grid: keyword arguments of the task's :class:`BEVGrid`.
        cell_m: edge of the BEV cells decoded from.
        num_classes: K.
        num_queries: elements predicted per frame.
        dims: D, 2 or 3.
        matcher: built from TASK_UTILS.
        loss_weights: by loss; added to what the class has.
    """

    def __init__(
        self,
        grid: dict,
        cell_m: float,
        num_classes: int,
        num_queries: int,
        dims: int = 2,
        matcher: dict | None = None,
        loss_weights: dict[str, float] | None = None,
    ) -> None:
        super().__init__()
        if dims not in (2, 3):
            raise ConfigError(f"a decoder predicts 2 or 3 coordinates, not dims={dims}")
        self.grid = BEVGrid(**grid).with_cell(cell_m)
        self.num_classes, self.num_queries, self.dims = num_classes, num_queries, dims
        self.loss_weights = DEFAULT_WEIGHTS | (loss_weights or {})
        self.matcher = TASK_UTILS.build(matcher or {"type": "PolylineMatcher"})
        self.scale: nn.Module | None = None
        self.lane_graph: LaneGraphHead | None = None

    @property
    def output_names(self) -> tuple[str, ...]:
        """What :meth:`forward` returns, in the order in which it is exported."""
        names = ("logits", "points")
        names += () if self.scale is None else ("scales",)
        return names if self.lane_graph is None else (*names, "topology")

    def layer_losses(
        self, output: dict[str, Tensor], target: TargetBatch, match: Assignment, normalizer: Tensor, suffix: str
    ) -> dict[str, Tensor]:
        """Weighted losses of one layer's queries under an assignment, ``normalizer`` elements in all."""
        labels = torch.full(output["logits"].shape[:2], self.num_classes, device=output["logits"].device)
        labels[match.frame, match.query] = target.labels[match.frame, match.element]
        points = output["points"][match.frame, match.query]
        true_points = target.points[match.frame, match.element, match.order]
        weight = self.loss_weights
        losses = {
            f"loss_class{suffix}": weight["class"] * class_loss(output["logits"], labels, normalizer),
            f"loss_point{suffix}": weight["point"] * point_loss(points, true_points, normalizer),
            f"loss_direction{suffix}": weight["direction"] * direction_loss(points, true_points, normalizer),
        }
        if "scales" in output:
            scales = output["scales"][match.frame, match.query]
            losses[f"loss_scale{suffix}"] = weight["scale"] * laplace_loss(scales, points, true_points, normalizer)
        if "topology" in output:
            losses[f"loss_topology{suffix}"] = self.lane_graph.loss(output["topology"], target, match)
        return losses

    def predict(self, output: dict[str, Tensor]) -> list[MapElements]:
        """The ``num_queries`` best (query, class) pairs of each frame, best first; points inside the patch."""
        scores = output["logits"].sigmoid()
        best, index = scores.flatten(1).topk(self.num_queries, dim=1)
        low_x, low_y, high_x, high_y = self.grid.box_xy
        low, high = scores.new_tensor([low_x, low_y]), scores.new_tensor([high_x, high_y])
        flat = torch.maximum(torch.minimum(output["points"][..., :2], high), low)
        points = torch.cat([flat, output["points"][..., 2:]], -1)
        query, labels = index // self.num_classes, index % self.num_classes
        return [
            MapElements(
                points=points[frame, query[frame]],
                labels=labels[frame],
                scores=best[frame],
                scales=output["scales"][frame, query[frame]] if "scales" in output else None,
                topology=self.lane_graph.confidence(output["topology"][frame], query[frame], labels[frame])
                if "topology" in output
                else None,
            )
            for frame in range(len(scores))
        ]
