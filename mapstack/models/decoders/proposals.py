"""Polylines proposed by every BEV cell: where an element's middle lies, and its points from there.

A DETR-style decoder with learned reference points needs long training before its queries find their elements
(Deformable DETR, ICLR 2021, section 4.2, proposes them from the encoder instead). Here each cell says, per
class, whether the middle of an element falls into it (CenterNet, arXiv 1904.07850) and where the element's
points are; every such cell is supervised, many to one element.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from mapstack.geometry import BEVGrid
from mapstack.models.losses import heatmap_focal_loss
from mapstack.models.matching import TargetBatch

__all__ = ["BEVProposals", "Proposals"]

PEAK_RADIUS_M = 2.0
BELOW_ALL_PEAKS = 100.0  # logits
FIRST_HEAT = -4.0  # logit of an untrained cell: nearly all cells hold no middle


def _largest(values: Tensor, count: int) -> Tensor:
    """(B, count) indices of the largest of (B, N). Of equals the first, which ONNX promises and topk does not."""
    if torch.onnx.is_in_onnx_export():
        return values.topk(count, dim=1).indices
    return values.sort(dim=1, descending=True, stable=True).indices[:, :count]


@dataclass(frozen=True)
class Proposals:
    """What the cells say.

    Args:
        heat: (B, K, h, w) logits that the middle of an element of that class lies in the cell.
        points: (B, K, h, w, P, 2) ego metres.
        feats: (B, C, h, w) features of the cells.
    """

    heat: Tensor
    points: Tensor
    feats: Tensor


class BEVProposals(nn.Module):
    """Dense heads over BEV features at half their resolution.

    Args:
        grid: the BEV grid of the incoming features.
        in_channels: C of the BEV features.
        num_classes: K.
        num_points: P.
        embed_dims: channels of the heads and of the features handed on.
    """

    def __init__(self, grid: BEVGrid, in_channels: int, num_classes: int, num_points: int, embed_dims: int) -> None:
        super().__init__()
        self.num_classes, self.num_points = num_classes, num_points
        self.grid = grid
        self.shared = nn.Sequential(
            Conv2dNormActivation(in_channels, embed_dims, 3, stride=2), Conv2dNormActivation(embed_dims, embed_dims, 3)
        )
        self.heat = nn.Conv2d(embed_dims, num_classes, 1)
        self.offsets = nn.Sequential(
            Conv2dNormActivation(embed_dims, 2 * embed_dims, 1, norm_layer=None),
            nn.Conv2d(2 * embed_dims, num_classes * num_points * 2, 1),
        )
        nn.init.constant_(self.heat.bias, FIRST_HEAT)

    def _centers(self, like: Tensor) -> Tensor:
        """(h, w, 2) ego metres: the middle of each proposal cell."""
        rows, cols = like.shape[-2:]
        x_min, y_min, x_max, y_max = self.grid.box_xy
        y = y_min + (torch.arange(rows, device=like.device) + 0.5) * ((y_max - y_min) / rows)
        x = x_min + (torch.arange(cols, device=like.device) + 0.5) * ((x_max - x_min) / cols)
        return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)

    def forward(self, bev: Tensor) -> Proposals:
        """Propose from (B, C, rows, cols)."""
        feats = self.shared(bev)
        offsets = self.offsets(feats).unflatten(1, (self.num_classes, self.num_points, 2))
        offsets = offsets.permute(0, 1, 4, 5, 2, 3) * 10.0  # an output of 1 is 10 m
        points = offsets + self._centers(feats)[None, None, :, :, None]
        return Proposals(self.heat(feats), points, feats)

    def select(self, proposals: Proposals, num_queries: int) -> tuple[Tensor, Tensor, Tensor]:
        """The ``num_queries`` hottest peaks over all classes.

        Returns:
            Points (B, Q, P, 2) ego metres, cell features (B, Q, C) and class index (B, Q).
        """
        index = _largest(self._ranked(proposals).flatten(1), num_queries)
        return self._gathered(proposals, index)

    def select_each(self, proposals: Proposals, counts: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """As :meth:`select`, the ``counts[k]`` hottest peaks of class k, class after class."""
        ranked = self._ranked(proposals)
        cells = ranked.shape[2] * ranked.shape[3]
        index = [_largest(ranked[:, label].flatten(1), count) + label * cells for label, count in enumerate(counts)]
        return self._gathered(proposals, torch.cat(index, 1))

    @staticmethod
    def _ranked(proposals: Proposals) -> Tensor:
        """(B, K, h, w): every peak above every other cell, and those still fill up: queries are never padded."""
        heat = proposals.heat
        peak = F.max_pool2d(heat, 3, stride=1, padding=1) == heat
        return torch.where(peak, heat, heat - BELOW_ALL_PEAKS)

    @staticmethod
    def _gathered(proposals: Proposals, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        cells = proposals.heat.shape[2] * proposals.heat.shape[3]
        points = proposals.points.flatten(1, 3)  # (B, K h w, P, 2)
        points = points.gather(1, index[..., None, None].expand(-1, -1, *points.shape[2:]))
        feats = proposals.feats.flatten(2).transpose(1, 2)  # (B, h w, C)
        feats = feats.gather(1, (index % cells)[..., None].expand(-1, -1, feats.shape[2]))
        return points, feats, index // cells

    def loss(self, proposals: Proposals, target: TargetBatch) -> dict[str, Tensor]:
        """Heat-map loss over all cells and point loss over the cells within 2 m of an element's middle."""
        centers = self._centers(proposals.heat)
        if target.valid.shape[1] == 0:
            nothing = proposals.heat.new_zeros(())
            loss_heat = heatmap_focal_loss(proposals.heat, torch.zeros_like(proposals.heat), target.num_elements)
            return {"loss_heat": loss_heat, "loss_proposal": nothing + 0 * proposals.points.sum()}
        gap = (target.midpoints()[:, :, None, None] - centers).norm(dim=-1)  # (B, N, h, w)
        of_class = F.one_hot(target.labels, self.num_classes).bool() & target.valid[..., None]  # (B, N, K)
        gap = torch.where(of_class[..., None, None], gap[:, :, None], torch.inf)  # (B, N, K, h, w)
        nearest, element = gap.min(1)  # (B, K, h, w)
        heat = torch.exp(-((nearest / PEAK_RADIUS_M) ** 2))
        smallest = gap.flatten(3).min(-1).values[..., None, None]  # the cell that holds each middle
        is_peak = ((gap == smallest) & torch.isfinite(gap)).any(1)
        heat = torch.where(is_peak, torch.ones_like(heat), heat)
        loss_heat = heatmap_focal_loss(proposals.heat, heat, target.num_elements)
        return {"loss_heat": loss_heat, "loss_proposal": self._point_loss(proposals, target, nearest, element)}

    def _point_loss(self, proposals: Proposals, target: TargetBatch, nearest: Tensor, element: Tensor) -> Tensor:
        where = nearest < PEAK_RADIUS_M
        frame = where.nonzero()[:, 0]
        predicted = proposals.points[where]  # (M, P, 2)
        orders = target.points[frame, element[where]][..., :2]  # (M, K, P, 2)
        error = (predicted[:, None] - orders).abs().sum(-1).mean(-1)  # (M, orders)
        return error.min(1).values.sum() / max(len(frame), 1)
