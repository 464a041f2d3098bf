"""PivotNet's matching and losses (ICCV 2023, sections 3.4 and 3.5), in metres and for whole batches."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mapstack.models.decoders.attraction import element_offsets
from mapstack.models.losses import element_mask_costs, element_mask_loss, laplace_loss
from mapstack.models.matching import FORBIDDEN, assign

from .pivots import PivotTargets
from .sequence import END_WEIGHT, interpolated_targets, sequence_costs, sequence_slots

__all__ = ["PivotObjective"]

# Published: 2, 5, 30, 10, 2, of which the middle two count coordinates scaled to [0, 1] of 120 m x 30 m; a metre
# there is between 30 / 120 and 30 / 30, here 0.5.
WEIGHTS = {"object": 2.0, "mask": 5.0, "point": 0.5, "collinear": 0.17, "pivot": 2.0, "scale": 0.1}
LAYER_WEIGHTS = (0.4, 0.4, 0.4, 0.8, 1.2, 1.6)
NO_OBJECT_WEIGHT = 0.5
COLLINEAR_WEIGHT = 0.2  # of a slot that is no pivot, in the pivot loss
MASK_RADIUS = 0.75  # cells: a mask covers those whose middle is as near to the element as this


class PivotObjective:
    """Matches each class's queries by object, mask and pivot sequence, and adds up the losses of all layers.

    Args:
        num_elements: queries of each class.
        num_pivots: slots of each class's queries.
        layer_weights: of the layers; None takes the last of the published six.
        num_layers: decoder layers.
        weights: of ``object``, ``mask``, ``point``, ``collinear``, ``pivot``, ``scale``, where not the published.
    """

    def __init__(
        self,
        num_elements: Sequence[int],
        num_pivots: Sequence[int],
        layer_weights: Sequence[float] | None,
        num_layers: int,
        weights: Mapping[str, float],
    ) -> None:
        self.num_elements, self.num_pivots = tuple(num_elements), tuple(num_pivots)
        self.weights = {key: weights.get(key, value) for key, value in WEIGHTS.items()}
        first = (LAYER_WEIGHTS[0],) * max(num_layers - len(LAYER_WEIGHTS), 0)
        self.layer_weights = tuple(layer_weights or (first + LAYER_WEIGHTS)[-num_layers:])

    def __call__(
        self, outputs: list[dict[str, Tensor]], found: PivotTargets, labels: Tensor, missing: Tensor, centers: Tensor
    ) -> dict[str, Tensor]:
        """Losses by name and layer.

        Args:
            outputs: of each layer ``objects`` (B, Q), ``masks`` (B, Q, M), ``points`` (B, Q, P, 2), ``pivots``
                (B, Q, P), and ``scales`` (B, Q, P, 2) where there are some.
            found: truth with its pivots.
            labels: (Q,) int64 class of each query.
            missing: (Q, P) bool.
            centers: (M, 2) ego metres of the masks' cells.
        """
        masks = self._true_masks(found, centers)
        losses = {}
        for i, (output, weight) in enumerate(zip(outputs, self.layer_weights, strict=True)):
            frame, query, element = self._match(output, found, masks)
            layer = self._layer_losses(output, found, masks, missing, (frame, query, element))
            losses |= {f"loss_{key}_{i}": weight * self.weights[key] * value for key, value in layer.items()}
        return losses

    def _true_masks(self, found: PivotTargets, centers: Tensor) -> Tensor:
        """(B, N, M) bool."""
        if found.counts.shape[1] == 0:
            return torch.zeros(*found.counts.shape, len(centers), dtype=torch.bool, device=centers.device)
        cell_m = (centers[1] - centers[0]).norm()
        return element_offsets(centers, found.target).norm(dim=-1) < MASK_RADIUS * cell_m

    @torch.no_grad()
    def _match(self, output: dict[str, Tensor], found: PivotTargets, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Frame, query and element of the pairs, each (E,); a class with more elements than queries leaves some out."""
        weight = self.weights
        cost = weight["mask"] * element_mask_costs(output["masks"], masks)
        cost = cost - weight["object"] * output["objects"].sigmoid()[..., None]
        parts = cost.split(self.num_elements, 1)
        of_class = []
        start = 0
        for label, (part, slots) in enumerate(zip(parts, self.num_pivots, strict=True)):
            points = output["points"][:, start : start + part.shape[1], :slots]
            distance = sequence_costs(points, found.pivots[:, :, :slots], found.counts.clamp(max=slots))
            other = (found.target.labels != label)[:, None]
            of_class.append((part + weight["point"] * distance).masked_fill(other, FORBIDDEN))
            start += part.shape[1]
        return assign(torch.cat(of_class, 1), found.target.valid)

    def _layer_losses(
        self,
        output: dict[str, Tensor],
        found: PivotTargets,
        masks: Tensor,
        missing: Tensor,
        pairs: tuple[Tensor, Tensor, Tensor],
    ) -> dict[str, Tensor]:
        frame, query, element = pairs
        count = output["objects"].new_tensor(float(max(len(frame), 1)))
        wanted = torch.zeros_like(output["objects"])
        wanted[frame, query] = 1.0
        object_weight = torch.where(wanted > 0, 1.0, NO_OBJECT_WEIGHT)
        entropy = F.binary_cross_entropy_with_logits(output["objects"], wanted, object_weight, reduction="sum")
        points, present = output["points"][frame, query], ~missing[query]  # (E, P, 2), (E, P)
        target, is_pivot, is_end = self._point_targets(points, found, present, (frame, element))
        error = (points - target).abs().sum(-1)
        pivot_weight = (is_pivot * (1.0 + END_WEIGHT * is_end)) * present
        line_weight = (~is_pivot & present).to(error.dtype)
        logits = output["pivots"][frame, query]
        slot_weight = torch.where(is_pivot, 1.0, COLLINEAR_WEIGHT) * present
        slot_loss = F.binary_cross_entropy_with_logits(logits, is_pivot.to(logits.dtype), slot_weight, reduction="none")
        losses = {
            "object": entropy / object_weight.sum(),
            "mask": element_mask_loss(output["masks"][frame, query], masks[frame, element], count),
            "point": ((error * pivot_weight).sum(1) / pivot_weight.sum(1)).sum() / count,
            "collinear": ((error * line_weight).sum(1) / line_weight.sum(1).clamp(min=1)).sum() / count,
            "pivot": (slot_loss.sum(1) / slot_weight.sum(1)).sum() / count,
        }
        if "scales" in output:
            # A slot that is missing adds nothing: no error, and a scale of which twice has the logarithm 0.
            shown = torch.where(present[..., None], target, points.detach())
            scales = torch.where(present[..., None], output["scales"][frame, query], 0.5)
            losses["scale"] = laplace_loss(scales, points, shown, count)
        return losses

    def _point_targets(
        self, points: Tensor, found: PivotTargets, present: Tensor, pairs: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Where each slot belongs (E, P, 2), whether a pivot is there and whether it is an end, both (E, P) bool."""
        frame, element = pairs
        pivots, counts = found.pivots[frame, element], found.counts[frame, element]
        number = torch.arange(points.shape[1], device=points.device)
        last = present.sum(1, keepdim=True) - 1
        slots = self._slots_by_count(points, pivots, counts, last[:, 0])
        target, is_pivot = interpolated_targets(slots, pivots, counts, points.shape[1])
        is_end = (number == 0) | (number == last)
        return target, is_pivot & present, is_end

    def _slots_by_count(self, points: Tensor, pivots: Tensor, counts: Tensor, last: Tensor) -> Tensor:
        """(E, V) slots of the pivots; pairs of one slot count are solved together."""
        slots = torch.zeros(pivots.shape[:2], dtype=torch.long, device=points.device)
        for number in set(self.num_pivots):
            rows = last == number - 1
            slots[rows] = sequence_slots(points[rows, :number], pivots[rows], counts[rows].clamp(max=number))
        return slots
