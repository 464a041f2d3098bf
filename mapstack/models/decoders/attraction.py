"""Where the nearest line of each class lies, told by every BEV cell, so that a polyline near it can be pulled onto it.

An attraction field (AFM, CVPR 2019, section 3.1, there for straight segments in images) is local: a cell needs to
see only a few metres, and every cell near a line is supervised. It is learned within the first hundreds of
iterations, long before a decoder has learned where to look for its correction.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from mapstack.geometry import BEVGrid
from mapstack.models.matching import TargetBatch

__all__ = ["AttractionField", "element_offsets", "nearest_offsets"]


def element_offsets(centers: Tensor, target: TargetBatch) -> Tensor:
    """Offset from each cell to the nearest point of each element.

    Args:
        centers: (M, 2) ego metres.
        target: truth, N >= 1.

    Returns:
        (B, N, M, 2) metres; meaningless on padding.
    """
    lines = target.points[:, :, 0, :, :2]  # (B, N, P, 2)
    x, y = centers.unbind(-1)
    edges = lines.diff(dim=2)
    inverse = 1 / edges.square().sum(-1).clamp(min=1e-6)  # (B, N, P - 1)
    # A segment at a time, x and y apart: its few (B, N, M) stay in the cache, five times quicker than all at once.
    nearest = lines.new_full((*lines.shape[:2], len(x)), torch.inf)
    offset_x, offset_y = torch.zeros_like(nearest), torch.zeros_like(nearest)
    for segment in range(edges.shape[2]):
        start_x, start_y = lines[:, :, segment, None].unbind(-1)  # (B, N, 1)
        edge_x, edge_y = edges[:, :, segment, None].unbind(-1)
        to_x, to_y = start_x - x, start_y - y  # (B, N, M)
        along = (to_x * edge_x).addcmul_(to_y, edge_y).mul_(-inverse[:, :, segment, None]).clamp_(0, 1)
        to_x.addcmul_(along, edge_x)
        to_y.addcmul_(along, edge_y)
        squared = to_x.square().addcmul_(to_y, to_y)
        closer = squared < nearest
        nearest = torch.where(closer, squared, nearest)
        offset_x, offset_y = torch.where(closer, to_x, offset_x), torch.where(closer, to_y, offset_y)
    return torch.stack([offset_x, offset_y], dim=-1)


def nearest_offsets(centers: Tensor, target: TargetBatch, num_classes: int) -> Tensor:
    """Offset from each cell to the nearest point of the nearest element of each class.

    Args:
        centers: (M, 2) ego metres.
        target: truth, N >= 1.
        num_classes: K.

    Returns:
        (B, K, M, 2) metres; infinite where a frame has no element of the class.
    """
    offset = element_offsets(centers, target)
    result = []
    for label in range(num_classes):
        other = (target.labels != label) | ~target.valid
        distance = offset.square().sum(-1).masked_fill(other[..., None], torch.inf)  # (B, N, M)
        nearest, element = distance.min(1)
        chosen = offset.gather(1, element[:, None, :, None].expand(-1, 1, -1, 2))[:, 0]
        result.append(chosen.masked_fill(torch.isinf(nearest)[..., None], torch.inf))
    return torch.stack(result, 1)


class AttractionField(nn.Module):
    """A dense head that predicts the offsets, and the pull on points.

    Args:
        grid: the BEV grid of the features.
        in_channels: C.
        num_classes: K.
        radius_m: cells farther from a line than this are not supervised, and no pull is longer.
    """

    def __init__(self, grid: BEVGrid, in_channels: int, num_classes: int, radius_m: float = 3.0) -> None:
        super().__init__()
        self.grid, self.num_classes, self.radius_m = grid, num_classes, radius_m
        self.head = nn.Sequential(
            Conv2dNormActivation(in_channels, in_channels, 3), nn.Conv2d(in_channels, 2 * num_classes, 1)
        )

    def forward(self, bev: Tensor) -> Tensor:
        """(B, C, rows, cols) to offsets (B, 2 K, rows, cols), metres, x then y of each class in turn."""
        return self.head(bev).tanh() * self.radius_m

    def pull(self, field: Tensor, points: Tensor, labels: Tensor) -> Tensor:
        """Read the field of each element's class at its points.

        Args:
            field: (B, 2 K, rows, cols) of :meth:`forward`.
            points: (B, Q, P, 2) ego metres.
            labels: (B, Q) int64; K for an element of no class, which nothing pulls.

        Returns:
            (B, Q, P, 2) metres towards the line; zero outside the patch.
        """
        at = self.grid.patch_from_ego(points) * 2 - 1
        read = F.grid_sample(field, at, align_corners=False).unflatten(1, (self.num_classes, 2))  # (B, K, 2, Q, P)
        chosen = F.one_hot(labels, self.num_classes + 1)[..., :-1].to(read.dtype).transpose(1, 2)  # (B, K, Q)
        return (read * chosen[:, :, None, :, None]).sum(1).movedim(1, -1)

    def loss(self, field: Tensor, target: TargetBatch) -> Tensor:
        """Mean L1 distance in metres over the cells within the radius of a line, a line's own cells included."""
        if target.valid.shape[1] == 0:
            return 0 * field.sum()
        centers = torch.from_numpy(self.grid.centers()).to(field).flatten(0, 1)
        truth = nearest_offsets(centers, target, self.num_classes)  # (B, K, M, 2)
        near = truth.norm(dim=-1) < self.radius_m
        predicted = field.flatten(2).unflatten(1, (self.num_classes, 2)).transpose(2, 3)  # (B, K, M, 2)
        return (predicted[near] - truth[near]).abs().sum(-1).sum() / near.sum().clamp(min=1)
