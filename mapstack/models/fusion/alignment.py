"""Warp one sensor's BEV map onto the other's by a predicted field of offsets (SuperMapNet, section 3.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from mapstack.errors import ConfigError
from mapstack.geometry import BEVGrid

__all__ = ["FlowAlignment", "warp_by_flow"]


def warp_by_flow(bev: Tensor, flow: Tensor) -> Tensor:
    """Read each cell's value where its offset points to, bilinearly; zero outside.

    Args:
        bev: (B, C, rows, cols).
        flow: (B, 2, rows, cols), offset in cells along columns, then along rows.

    Returns:
        (B, C, rows, cols): value of ``bev`` at (row + flow[1], col + flow[0]).
    """
    rows, cols = bev.shape[-2:]
    col = torch.arange(cols, device=bev.device, dtype=flow.dtype)[None, None] + flow[:, 0]
    row = torch.arange(rows, device=bev.device, dtype=flow.dtype)[None, :, None] + flow[:, 1]
    where = torch.stack([(col + 0.5) / cols, (row + 0.5) / rows], -1) * 2 - 1
    return F.grid_sample(bev, where, mode="bilinear", padding_mode="zeros", align_corners=False)


class FlowAlignment(nn.Module):
    """Predict the offsets from both maps, warp one of them. Offsets are zero before training.

    Published is warping the camera's. Whichever sensor's calibration is in doubt is the one to warp: the other one has
    to say where things are.

    The published form is a 1x1 and a 3x3 convolution over both maps, which must learn to compare them from the map's
    loss alone. Two aids are ours, and can be turned off: **correlation**, the product of both maps' embeddings at small
    shifts, shows the disparity; and a **rigid** part, one shift and one rotation for the patch from what is pooled
    over it, which is what an error of calibration looks like. Where training moves the sensors on purpose
    (``MisalignSensor``), ``weight`` lets the offsets learn from the error that was made.

    Args:
        grid: keyword arguments of the task's :class:`BEVGrid`.
        cell_m: edge of the maps' cells.
        in_channels: C of the camera's map and of the LiDAR's.
        channels: width within.
        correlation_radius: shifts compared, cells to each side; 0 for the published form.
        rigid: add one rigid motion of the whole patch.
        weight: of the loss on offsets whose truth is known.
        warped: "camera" or "lidar": whose map is moved, and in training whose error is known.
    """

    def __init__(
        self,
        grid: dict,
        cell_m: float,
        in_channels: tuple[int, int],
        channels: int = 32,
        correlation_radius: int = 2,
        rigid: bool = True,
        weight: float = 0.0,
        warped: str = "camera",
    ) -> None:
        super().__init__()
        if warped not in ("camera", "lidar"):
            raise ConfigError(f"warped must be camera or lidar, got {warped!r}")
        self.warped = warped
        self.grid, self.radius, self.weight = BEVGrid(**grid).with_cell(cell_m), correlation_radius, weight
        self.embed = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in in_channels) if self.radius else None
        shifts = (2 * self.radius + 1) ** 2 if self.radius else 0
        self.mix = Conv2dNormActivation(sum(in_channels) + shifts, channels, 1)
        self.flow = nn.Conv2d(channels, 2, 3, padding=1)
        self.rigid = (
            nn.Sequential(nn.Linear(3 * channels, channels), nn.ReLU(), nn.Linear(channels, 3)) if rigid else None
        )
        for last in (self.flow, *([self.rigid[-1]] if rigid else [])):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, camera: Tensor, lidar: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Both maps (B, C, rows, cols), one of them warped, and the offsets (B, 2, rows, cols) in cells."""
        seen = [camera, lidar]
        if self.embed is not None:
            seen.append(self._correlation(*(embed(x) for embed, x in zip(self.embed, seen, strict=True))))
        feats = self.mix(torch.cat(seen, 1))
        flow = self.flow(feats)
        if self.rigid is not None:
            flow = flow + self._rigid_flow(feats)
        if self.warped == "camera":
            return warp_by_flow(camera, flow), lidar, flow
        return camera, warp_by_flow(lidar, flow), flow

    def _correlation(self, camera: Tensor, lidar: Tensor) -> Tensor:
        """(B, shifts, rows, cols): likeness of each LiDAR cell to the camera cells around it, in [-1, 1]."""
        camera, lidar = F.normalize(camera, dim=1, eps=1e-3), F.normalize(lidar, dim=1, eps=1e-3)
        rows, cols = camera.shape[-2:]
        size, around = 2 * self.radius + 1, F.pad(camera, (self.radius,) * 4)
        shifted = [around[..., i : i + rows, j : j + cols] for i in range(size) for j in range(size)]
        return torch.stack([(lidar * other).sum(1) for other in shifted], 1)

    def _centers(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Cells' x (1, 1, cols) and y (1, rows, 1), metres over half the patch's length."""
        rows, cols = like.shape[-2:]
        x_min, y_min, x_max, y_max = self.grid.box_xy
        half = max(self.grid.size_m) / 2
        x = (torch.arange(cols, device=like.device, dtype=like.dtype) + 0.5) / cols * (x_max - x_min) + x_min
        y = (torch.arange(rows, device=like.device, dtype=like.dtype) + 0.5) / rows * (y_max - y_min) + y_min
        return x[None, None] / half, y[None, :, None] / half

    def _rigid_flow(self, feats: Tensor) -> Tensor:
        """Offsets of one small shift and rotation; an output of 1 is a cell, at the patch's end for the rotation."""
        x, y = self._centers(feats)
        moments = [feats.mean((2, 3)), (feats * x[:, None]).mean((2, 3)), (feats * y[:, None]).mean((2, 3))]
        shift_x, shift_y, turn = self.rigid(torch.cat(moments, 1))[..., None, None].unbind(1)  # (B, 1, 1) each
        rows, cols = feats.shape[-2:]
        along = (shift_x - turn * y).expand(-1, rows, cols)
        return torch.stack([along, (shift_y + turn * x).expand(-1, rows, cols)], 1)

    def loss(self, flow: Tensor, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Distance of the offsets from the error that was made on purpose; empty where nobody knows it."""
        if not self.weight or "sensor_error" not in inputs:
            return {}
        both = inputs["camera_valid"].any(1) & inputs["lidar_valid"]
        gap = F.smooth_l1_loss(flow, self._made(flow, inputs), reduction="none").mean((1, 2, 3)) * both
        return {"loss_alignment": self.weight * gap.sum() / both.sum().clamp(min=1)}

    def measured(self, flow: Tensor, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Mean over the cells, in metres, of the error that was made on purpose and of what the offsets leave of it.

        Returns:
            ``misalignment_made_m`` and ``misalignment_left_m`` (B,); empty where nobody knows the error.
        """
        if "sensor_error" not in inputs:
            return {}
        made = self._made(flow, inputs)
        gaps = {"made": made, "left": made - flow}
        return {f"misalignment_{name}_m": gap.norm(dim=1).mean((1, 2)) * self.grid.cell_m for name, gap in gaps.items()}

    def _made(self, like: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        """(B, 2, rows, cols): the offsets in cells that would undo the error."""
        error = inputs["sensor_error"][..., None, None]  # (B, 4, 4, 1, 1): where the moved sensor says that a place is
        half = max(self.grid.size_m) / 2
        x, y = (axis * half for axis in self._centers(like))
        moved = [error[:, i, 0] * x + error[:, i, 1] * y + error[:, i, 3] for i in (0, 1)]
        return torch.stack([moved[0] - x, moved[1] - y], 1) / self.grid.cell_m
