"""A drawn prior compared with a BEV map at every small motion of the one against the other."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from mapstack.errors import ConfigError
from mapstack.geometry import BEVGrid
from mapstack.structures import PriorBatch
from mapstack.structures.prior_map import PRIOR_CLASSES

__all__ = ["MatchingVolume", "draw_vectors"]

PIECES_PER_SEGMENT = 4  # of a vector, each drawn as a point
DIRECTIONS = 3  # layers of a class: ink, and the cosine and sine of twice the direction that the ink runs in
SHORTEST_M = 1e-3


def draw_vectors(vectors: PriorBatch, labels: tuple[int, ...], columns: Tensor, rows: Tensor, cell_m: float) -> Tensor:
    """Draw vectors with soft edges: a metre of line leaves ``1 / cell_m`` of ink, shared among the cells around it.

    As a product of two matrices, which every runtime has and sums in one go; no gradient reaches the vectors.

    Args:
        vectors: of B frames.
        labels: classes that are drawn, indices into :data:`PRIOR_CLASSES`.
        columns: (W,) x of the cells' middles, ego metres.
        rows: (H,) y of them.
        cell_m: their edge.

    Returns:
        (B, 3 len(labels), H, W): of each class the ink, and the ink times the cosine and the sine of twice the line's
        direction, which is the same for both orders of its points.
    """
    with torch.no_grad():
        edges = vectors.points.diff(dim=2)  # (B, N, P - 1, 2)
        share = (torch.arange(PIECES_PER_SEGMENT, device=edges.device) + 0.5) / PIECES_PER_SEGMENT
        places = vectors.points[:, :, :-1, None] + share[:, None] * edges[:, :, :, None]
        x, y = places.flatten(1, 3).unbind(-1)  # (B, M)
        length = edges.norm(dim=-1)
        along = edges / length.clamp(min=SHORTEST_M)[..., None]
        cos, sin = along.unbind(-1)
        ink = torch.stack([torch.ones_like(cos), cos**2 - sin**2, 2 * cos * sin], -1) * length[..., None]
        ink = ink / (PIECES_PER_SEGMENT * cell_m)  # (B, N, P - 1, 3)
        drawn = vectors.labels[..., None] == torch.tensor(labels, device=edges.device)  # (B, N, K)
        drawn = (drawn & vectors.valid[..., None]).to(ink.dtype)
        value = (drawn[:, :, None, :, None] * ink[:, :, :, None]).flatten(3)  # (B, N, P - 1, 3 K)
        value = value[:, :, :, None].expand(-1, -1, -1, PIECES_PER_SEGMENT, -1).flatten(1, 3)  # (B, M, 3 K)
        in_column = (1 - (x[..., None] - columns).abs() / cell_m).clamp(min=0)
        in_row = (1 - (y[..., None] - rows).abs() / cell_m).clamp(min=0)
        spread = (value[..., None] * in_row[:, :, None]).flatten(2)  # (B, M, 3 K H)
        layers = spread.transpose(1, 2) @ in_column
    return layers.unflatten(1, (value.shape[-1], len(rows)))


class MatchingVolume(nn.Module):
    """How well a prior fits a BEV map, moved by each of T turns and S x S shifts.

    A small network makes of the map what each class should look like, line and direction; the score of a motion is its
    sum along the moved prior's lines, plus a Gaussian of learned width over motions. (OrienterNet, CVPR 2023, matches a
    neural map with a neural BEV over a volume of poses; here the prior is drawn as it is, so an unknown town needs no
    training of its own.)

    Args:
        grid: of the BEV map.
        stride: cells of the map to a cell of the comparison, along each side; both sides are a multiple.
        in_channels: C of the map.
        reach: shifts of so many cells to each side.
        turns_deg: the outermost turn.
        num_turns: T, odd.
        classes: of the prior's vectors, names of :data:`PRIOR_CLASSES`.
        hidden: channels of the network.
    """

    def __init__(
        self,
        grid: BEVGrid,
        stride: int,
        in_channels: int,
        reach: int,
        turns_deg: float,
        num_turns: int,
        classes: tuple[str, ...],
        hidden: int = 32,
    ) -> None:
        super().__init__()
        unknown = sorted(set(classes) - set(PRIOR_CLASSES))
        if unknown or not classes:
            raise ConfigError(f"classes must be of {PRIOR_CLASSES}, got {classes}")
        if num_turns % 2 == 0 or any(side % stride for side in grid.shape):
            raise ConfigError(f"num_turns must be odd and {grid.shape} cells a multiple of {stride}, got {num_turns}")
        self.labels = tuple(PRIOR_CLASSES.index(name) for name in classes)
        self.stride, self.reach = stride, reach
        self.cell_m = stride * grid.cell_m
        self.evidence = nn.Sequential(
            Conv2dNormActivation(in_channels, hidden, 3, norm_layer=None),
            nn.Conv2d(hidden, DIRECTIONS * len(classes), 1),
        )
        with torch.no_grad():  # begin with every motion about as likely as its width says; steps then count in full
            self.evidence[-1].weight.mul_(0.1)
        turns = torch.linspace(-turns_deg, turns_deg, num_turns).deg2rad()
        self.turn_step = float(turns[1] - turns[0]) if num_turns > 1 else 1.0
        shifts = self.cell_m * torch.arange(reach, -reach - 1, -1.0)  # in the order in which windows of the canvas lie
        shift_y, shift_x = torch.meshgrid(shifts, shifts, indexing="ij")
        cos, sin = turns.cos()[:, None], turns.sin()[:, None]
        x, y = shift_x.flatten(), shift_y.flatten()
        poses = torch.stack([cos * x - sin * y, sin * x + cos * y, turns[:, None].expand(-1, len(x))], -1)
        self.register_buffer("poses", poses.flatten(0, 1), persistent=False)  # (T S S, 3)
        self.register_buffer("turns", turns, persistent=False)
        # Widths to begin with: half of what is searched.
        spread = torch.tensor([reach * self.cell_m, reach * self.cell_m, max(float(turns[-1]), self.turn_step)]) / 2
        self.log_spread = nn.Parameter(spread.log())
        x_min, y_min = grid.box_xy[:2]
        rows, cols = (side // stride for side in grid.shape)
        for name, start, count in (("columns", x_min, cols), ("rows", y_min, rows)):
            middles = start + (torch.arange(-reach, count + reach) + 0.5) * self.cell_m
            self.register_buffer(name, middles, persistent=False)
        self.size = (rows, cols)

    def forward(self, bev: Tensor, vectors: PriorBatch) -> Tensor:
        """(B, T S S) logits of ``map_from_prior`` being each of :attr:`poses`, of (B, C, rows, cols) and B priors."""
        seen = self._turned(self.evidence(F.avg_pool2d(bev, self.stride) if self.stride > 1 else bev))
        canvas = draw_vectors(vectors, self.labels, self.columns, self.rows, self.cell_m)
        rows, cols = self.size
        windows = canvas.unfold(2, rows, 1).unfold(3, cols, 1)  # (B, 3 K, S, S, rows, cols)
        windows = windows.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)  # (B, S S, 3 K rows cols)
        score = seen @ windows.transpose(1, 2)  # (B, T, S S)
        away = (self.poses / self.log_spread.exp()).square().sum(-1) / 2
        return score.flatten(1) - away

    def _turned(self, evidence: Tensor) -> Tensor:
        """(B, T, 3 K rows cols): what lies at each cell of the prior's axes, for each turn of them."""
        rows, cols = self.size
        x, y = self.columns[self.reach : self.reach + cols], self.rows[self.reach : self.reach + rows]
        cos, sin = (value[:, None, None] for value in (self.turns.cos(), self.turns.sin()))
        turned_x = cos * x - sin * y[:, None]  # (T, rows, cols)
        turned_y = sin * x + cos * y[:, None]
        middle_x, middle_y = (x[0] + x[-1]) / 2, (y[0] + y[-1]) / 2
        where = torch.stack(
            [2 * (turned_x - middle_x) / (cols * self.cell_m), 2 * (turned_y - middle_y) / (rows * self.cell_m)], -1
        )
        batch, turns = evidence.shape[0], len(self.turns)
        where = where.flatten(0, 1).expand(batch, -1, -1, -1)  # the turns below each other, in one sampling
        found = F.grid_sample(evidence, where, mode="bilinear", padding_mode="zeros", align_corners=False)
        found = found.unflatten(2, (turns, rows)).unflatten(1, (-1, DIRECTIONS))  # (B, K, 3, T, rows, cols)
        line, along, across = found.unbind(2)
        # A line of the prior turns with it: its direction is compared after the turn.
        cos2, sin2 = (2 * self.turns).cos()[:, None, None], (2 * self.turns).sin()[:, None, None]
        layers = torch.stack([line, cos2 * along + sin2 * across, cos2 * across - sin2 * along], 2)
        return layers.flatten(1, 2).transpose(1, 2).flatten(2)

    def target(self, pose: Tensor) -> Tensor:
        """(B, T S S) shares that sum to 1: the motions around a true (B, 3), the outermost where it lies beyond."""
        x_reach, turn_reach = self.reach * self.cell_m, float(self.turns[-1])
        limit = pose.new_tensor([x_reach, x_reach, turn_reach])
        pose = torch.minimum(torch.maximum(pose, -limit), limit)
        unit = pose.new_tensor([self.cell_m, self.cell_m, self.turn_step])
        away = ((self.poses - pose[:, None]) / unit).square().sum(-1)
        return (-4 * away).softmax(-1)  # a third of a cell and of a turn wide
