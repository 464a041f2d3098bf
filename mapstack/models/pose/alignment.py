"""Lines of a prior laid on what the sensors see: each point asks the BEV map how far off it is, across its line."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from mapstack.geometry import BEVGrid
from mapstack.geometry.camera import invert_3x3
from mapstack.models.priors.motion import move_priors
from mapstack.structures import PriorBatch

__all__ = ["LineAlignment", "PointErrors", "compose"]

LEVER_M = 10.0  # a turn is counted in metres at this distance, so that the three unknowns are of one size
LOG_SCALES = (-3.0, 2.0)  # 5 cm to 7 m
SHORTEST_M = 1e-3


@dataclass(frozen=True)
class PointErrors:
    """What M points of a prior are told at the places where they lie.

    Args:
        places: (B, M, 2) ego metres.
        normals: (B, M, 2) across their lines.
        found: (B, M) metres along the normal to where the line is seen.
        log_scale: (B, M) of the Laplace distribution of that.
        weight: (B, M) metres of line that each stands for; 0 for padding and outside of the map.
    """

    places: Tensor
    normals: Tensor
    found: Tensor
    log_scale: Tensor
    weight: Tensor

    def likelihood_loss(self, true_places: Tensor) -> Tensor:
        """(B,) mean negative log likelihood of where (B, M, 2) the points truly lie."""
        error = ((true_places - self.places) * self.normals).sum(-1) - self.found
        each = error.abs() * (-self.log_scale).exp() + self.log_scale
        return (each * self.weight).sum(1) / self.weight.sum(1).clamp(min=SHORTEST_M)


def compose(second: Tensor, first: Tensor) -> Tensor:
    """(..., 3) x, y, yaw of the motion ``second`` after ``first``."""
    (x, y, yaw), (u, v, turn) = second.unbind(-1), first.unbind(-1)
    cos, sin = yaw.cos(), yaw.sin()
    return torch.stack([x + cos * u - sin * v, y + sin * u + cos * v, yaw + turn], -1)


class LineAlignment(nn.Module):
    """Weighted least squares over x, y and yaw of point-to-line offsets that are read from the BEV map.

    A small network gives at every cell, for lines of each class, the way to the line that is seen and how sure that is
    (a Laplace scale). A prior's point takes the part across its own line; the points' offsets, each by its certainty,
    are solved for one motion, with a Gaussian of learned width about none: what a straight road does not tell stays.
    What correlation over cells cannot: an offset is of any size, and points 30 m away tell the heading.

    Args:
        grid: of the BEV map.
        in_channels: C of the map.
        labels: of the vectors, indices into :data:`PRIOR_CLASSES`.
        steps: solutions, each from where the one before it has put the prior.
        correlation_m: of a line within which points err together.
        hidden: channels of the network.
    """

    def __init__(
        self,
        grid: BEVGrid,
        in_channels: int,
        labels: tuple[int, ...],
        steps: int = 3,
        correlation_m: float = 5.0,
        hidden: int = 32,
    ) -> None:
        super().__init__()
        self.grid, self.labels, self.steps, self.correlation_m = grid, labels, steps, correlation_m
        self.field = nn.Sequential(
            Conv2dNormActivation(in_channels, hidden, 3, norm_layer=None),
            Conv2dNormActivation(hidden, hidden, 3, norm_layer=None, dilation=2),
            nn.Conv2d(hidden, 3 * len(labels), 1),
        )
        nn.init.zeros_(self.field[-1].weight)  # begin as one that sees nothing
        nn.init.zeros_(self.field[-1].bias)
        self.log_spread = nn.Parameter(torch.zeros(3))  # of x, y and yaw at the lever

    def forward(self, bev: Tensor, vectors: PriorBatch, start: Tensor) -> tuple[Tensor, Tensor, list[PointErrors]]:
        """The motion (B, 3) that lays priors on the map (B, C, rows, cols), near ``start`` (B, 3).

        Returns:
            It, its covariance (B, 3, 3) as the points' scales have it, and what the points were told, step by step.
        """
        field, pose, told = self.field(bev), start, []
        for _ in range(self.steps):
            errors = self._ask(field, move_priors(vectors, pose.detach()))
            step, covariance = self._solve(errors)
            pose = compose(step, pose.detach())
            told.append(errors)
        return pose, covariance, told

    @staticmethod
    def middles(vectors: PriorBatch) -> Tensor:
        """(B, M, 2) middles of the segments: the points that are asked about."""
        return ((vectors.points[:, :, 1:] + vectors.points[:, :, :-1]) / 2).flatten(1, 2)

    def _ask(self, field: Tensor, vectors: PriorBatch) -> PointErrors:
        edges, places = vectors.points.diff(dim=2).flatten(1, 2), self.middles(vectors)
        length = edges.norm(dim=-1)
        along = edges / length.clamp(min=SHORTEST_M)[..., None]
        normals = torch.stack([-along[..., 1], along[..., 0]], -1)
        x_min, y_min, x_max, y_max = self.grid.box_xy
        low, size = places.new_tensor([x_min, y_min]), places.new_tensor([x_max - x_min, y_max - y_min])
        where = 2 * (places - low) / size - 1
        told = F.grid_sample(field, where[:, None], mode="bilinear", padding_mode="zeros", align_corners=False)[:, :, 0]
        of_class = vectors.labels[..., None] == torch.tensor(self.labels, device=places.device)  # (B, N, K)
        of_class = (of_class & vectors.valid[..., None]).to(told.dtype)
        of_class = of_class[:, :, None].expand(-1, -1, vectors.points.shape[2] - 1, -1).flatten(1, 2)  # (B, M, K)
        told = (told.unflatten(1, (len(self.labels), 3)) * of_class.transpose(1, 2)[:, :, None]).sum(1)  # (B, 3, M)
        inside = (where.abs() <= 1).all(-1).to(told.dtype)
        return PointErrors(
            places,
            normals,
            (told[:, :2] * normals.transpose(1, 2)).sum(1),
            told[:, 2].clamp(*LOG_SCALES),
            length * inside * of_class.sum(-1),
        )

    def _solve(self, errors: PointErrors) -> tuple[Tensor, Tensor]:
        x, y = errors.places.unbind(-1)
        across = (errors.normals[..., 1] * x - errors.normals[..., 0] * y) / LEVER_M
        jacobian = torch.cat([errors.normals, across[..., None]], -1)  # (B, M, 3)
        weight = errors.weight / self.correlation_m * (-2 * errors.log_scale).exp()
        weighted = (jacobian * weight[..., None]).transpose(1, 2)  # (B, 3, M)
        information = weighted @ jacobian + (-2 * self.log_spread).exp().diag()
        covariance = invert_3x3(information)
        step = (covariance @ (weighted @ errors.found[..., None]))[..., 0]
        unit = step.new_tensor([1.0, 1.0, 1 / LEVER_M])
        return unit * step, unit[:, None] * covariance * unit
