"""Small models with the operators that the real one has, quick to export."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NUM_QUERIES, NUM_POINTS, NUM_CLASSES = 5, 4, 3


class StandIn(nn.Module):
    """LiDAR points scattered into cells, sampled back by grid_sample, the best cells taken by topk."""

    def __init__(self, num_cells: int = 6) -> None:
        super().__init__()
        self.num_cells = num_cells
        self.embed = nn.Linear(4, 8)
        self.mix = nn.Conv2d(8, 8, 3, padding=1)
        self.score = nn.Conv2d(8, NUM_CLASSES, 1)
        self.offset = nn.Linear(8, NUM_POINTS * 2)

    def export_inputs(self, inputs: dict[str, Tensor]) -> Mapping[str, Tensor]:
        return {name: inputs[name] for name in ("points", "pose")}

    def forward_export(self, points: Tensor, pose: Tensor) -> tuple[Tensor, Tensor]:
        batch, side = pose.shape[0], self.num_cells
        cell = (points[:, 1:3].clamp(max=0.999) * side).long()
        ids = (points[:, 0].long() * side + cell[:, 1]) * side + cell[:, 0]
        feats = self.embed(points[:, 1:5])
        canvas = feats.new_zeros(batch * side * side, 8).scatter_add(0, ids[:, None].expand_as(feats), feats)
        bev = self.mix(canvas.view(batch, side, side, 8).permute(0, 3, 1, 2))
        warped = F.grid_sample(
            bev, F.affine_grid(pose, [batch, 8, side, side], align_corners=False), align_corners=False
        )
        best = self.score(warped).flatten(2).transpose(1, 2)  # (B, cells, K)
        index = best.amax(2).topk(NUM_QUERIES, dim=1).indices[..., None]
        chosen = warped.flatten(2).transpose(1, 2).gather(1, index.expand(-1, -1, 8))
        return best.gather(1, index.expand(-1, -1, NUM_CLASSES)).sigmoid(), self.offset(chosen).unflatten(2, (-1, 2))


class _Frozen(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.zeros(len(x), 1, 1)


class _Unsupported(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.qr(x).Q


class _Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


BROKEN_PARTS = {"frozen": _Frozen, "unsupported": _Unsupported, "branching": _Branching}


class Broken(nn.Module):
    """A model one of whose modules, ``parts.bad``, cannot be exported."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({"good": nn.Linear(4, 4), "bad": BROKEN_PARTS[kind]()})

    def export_inputs(self, inputs: dict[str, Tensor]) -> Mapping[str, Tensor]:
        return inputs

    def forward_export(self, pose: Tensor) -> tuple[Tensor, Tensor]:
        x = self.parts["bad"](self.parts["good"](pose))
        return x.sigmoid(), x[..., None]
