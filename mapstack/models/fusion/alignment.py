"""Warp one sensor's BEV map onto the other's by a predicted field of offsets (SuperMapNet, section 3.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from mapstack.errors import ConfigError
from mapstack.geometry import BEVGrid

__all__ = ["FlowAlignment", "RigidRegistration", "fit_rigid_offsets", "warp_by_flow"]


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


def fit_rigid_offsets(shifts: Tensor, weights: Tensor, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Shift and turn that explain offsets seen at several places best, by weighted least squares.

    Linear in the angle, which is right to 0.02 % of the offset at 1 degree.

    Args:
        shifts: (B, 2, N), what was seen, along x and y.
        weights: (B, N), positive.
        places: (2, N), x and y, in the unit that the turn is to have.

    Returns:
        (B,) each: shift along x, along y, and turn, so that ``shift_x - turn * y`` and ``shift_y + turn * x`` are the
        offsets at (x, y).
    """
    share = weights / weights.sum(1, keepdim=True)
    mean_shift, mean_place = (shifts * share[:, None]).sum(2), (places * share[:, None]).sum(2)  # (B, 2)
    shift, place = shifts - mean_shift[..., None], places - mean_place[..., None]
    across = (share * (place[:, 0] * shift[:, 1] - place[:, 1] * shift[:, 0])).sum(1)
    turn = across / (share * place.square().sum(1)).sum(1).clamp(min=1e-3)
    return mean_shift[:, 0] + turn * mean_place[:, 1], mean_shift[:, 1] - turn * mean_place[:, 0], turn


class RigidRegistration(nn.Module):
    """The one level motion that lays a map on another: what an error of calibration looks like.

    Both maps are embedded. Over each block of the patch the likeness of one to the other, shifted by up to ``search``
    cells, becomes a shift to a fraction of a cell (the mean under a softmax) and how sure it is (its variance); least
    squares turn the blocks' shifts into one shift and one turn. Offsets are zero before training.

    Args:
        shape: rows and columns of the maps.
        in_channels: C of the map that stays and of the one that is moved.
        channels: width of the embeddings.
        search: cells, to each side; the largest shift that can be found.
        blocks: along y and x.
    """

    SHARPNESS = 40.0  # of the softmax before training; likeness lies in [-1, 1]

    def __init__(
        self,
        shape: tuple[int, int],
        in_channels: tuple[int, int],
        channels: int = 32,
        search: int = 2,
        blocks: tuple[int, int] = (2, 4),
    ) -> None:
        super().__init__()
        if search < 1 or any(number < 1 or number > size for number, size in zip(blocks, shape, strict=True)):
            raise ConfigError(f"search must be 1 or more, and {blocks} blocks fit into {shape} cells; got {search}")
        self.embed = nn.ModuleList(
            nn.Sequential(Conv2dNormActivation(width, channels, 3), nn.Conv2d(channels, channels, 1))
            for width in in_channels
        )
        nn.init.zeros_(self.embed[1][-1].weight)
        nn.init.zeros_(self.embed[1][-1].bias)
        self.log_sharpness = nn.Parameter(torch.tensor(self.SHARPNESS).log())
        self.search = search
        for name, size, number in zip(("rows", "cols"), shape, blocks, strict=True):
            parts = torch.arange(size).tensor_split(number)
            mean = torch.stack([torch.isin(torch.arange(size), part) / len(part) for part in parts])  # (blocks, size)
            self.register_buffer(f"mean_{name}", mean, persistent=False)
        step = torch.arange(-search, search + 1.0)
        shifts = torch.stack(torch.meshgrid(step, step, indexing="xy")).flatten(1)  # (2, S): x runs first
        self.register_buffer("shifts", shifts, persistent=False)

    def forward(self, still: Tensor, moving: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Offsets (B, 2, rows, cols) in cells to where the moving map shows what the still one has at a cell.

        Args:
            still: (B, C, rows, cols).
            moving: (B, C', rows, cols).
            x: (1, 1, cols), cells' places along x, in one unit with y.
            y: (1, rows, 1).
        """
        likeness = self._likeness(*(embed(bev) for embed, bev in zip(self.embed, (still, moving), strict=True)))
        chance = (self.log_sharpness.exp() * likeness).softmax(1)[:, None]  # (B, 1, S, N)
        shifts = self.shifts[None, :, :, None]
        seen = (chance * shifts).sum(2)  # (B, 2, N)
        variance = (chance * (shifts - seen[:, :, None]).square()).sum((1, 2))
        block_x, block_y = (self.mean_cols @ x[0, 0])[None], (self.mean_rows @ y[0, :, 0])[:, None]
        places = torch.stack(torch.broadcast_tensors(block_x, block_y)).flatten(1)
        shift_x, shift_y, turn = fit_rigid_offsets(seen, 1 / (variance + 0.1), places)
        shift_x, shift_y, turn = (value[:, None, None] for value in (shift_x, shift_y, turn))
        rows, cols = still.shape[-2:]
        along = (shift_x - turn * y).expand(-1, rows, cols)
        return torch.stack([along, (shift_y + turn * x).expand(-1, rows, cols)], 1)

    def _likeness(self, still: Tensor, moving: Tensor) -> Tensor:
        """(B, S, N) in [-1, 1]: what embeddings share at each shift, over each block, against what they hold."""
        still, moving = (value - value.mean((2, 3), keepdim=True) for value in (still, moving))
        rows, cols = still.shape[-2:]
        size, around = 2 * self.search + 1, F.pad(moving, (self.search,) * 4)
        shared = [(still * around[..., i : i + rows, j : j + cols]).sum(1) for i in range(size) for j in range(size)]
        held = (still.square().sum(1) + moving.square().sum(1)) / 2
        means = self.mean_rows @ torch.stack([*shared, held], 1) @ self.mean_cols.T  # (B, S + 1, blocks y, blocks x)
        return (means[:, :-1] / (means[:, -1:] + 1e-3)).flatten(2)


class FlowAlignment(nn.Module):
    """Predict offsets from both maps and warp one of them. Offsets are zero before training.

    The published form is a 1x1 and a 3x3 convolution over both maps, which warps the camera's and must learn to compare
    them from the map's loss alone. Two aids are ours: ``search`` adds a :class:`RigidRegistration`; and where training
    moves a sensor on purpose (``MisalignSensor``), ``weight`` lets the offsets learn from the error that was made, and
    from it alone.
    Whichever sensor's calibration is in doubt is the one to warp: the other one has to say where things are.

    Args:
        grid: keyword arguments of the task's :class:`BEVGrid`.
        cell_m: edge of the maps' cells.
        in_channels: C of the camera's map and of the LiDAR's.
        channels: width within.
        search: cells to each side in which one rigid motion of the patch is searched; 0 for the published form.
        weight: of the loss on offsets whose truth is known.
        warped: "camera" or "lidar": whose map is moved, and in training whose error is known.
    """

    def __init__(
        self,
        grid: dict,
        cell_m: float,
        in_channels: tuple[int, int],
        channels: int = 32,
        search: int = 2,
        weight: float = 0.0,
        warped: str = "camera",
    ) -> None:
        super().__init__()
        if warped not in ("camera", "lidar"):
            raise ConfigError(f"warped must be camera or lidar, got {warped!r}")
        self.grid, self.weight, self.warped = BEVGrid(**grid).with_cell(cell_m), weight, warped
        self.mix = Conv2dNormActivation(sum(in_channels), channels, 1)
        self.flow = nn.Conv2d(channels, 2, 3, padding=1)
        nn.init.zeros_(self.flow.weight)
        nn.init.zeros_(self.flow.bias)
        widths = in_channels if warped == "lidar" else in_channels[::-1]
        self.rigid = RigidRegistration(self.grid.shape, widths, channels, search) if search else None

    def forward(self, camera: Tensor, lidar: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Both maps (B, C, rows, cols), one of them warped, and the offsets (B, 2, rows, cols) in cells."""
        flow = self.flow(self.mix(torch.cat([camera, lidar], 1)))
        if self.rigid is not None:
            still, moving = (camera, lidar) if self.warped == "lidar" else (lidar, camera)
            flow = flow + self.rigid(still, moving, *self._centers(camera))
        # What the map's loss says of the offsets would drown what their teacher says.
        moved = flow.detach() if self.training and self.weight else flow
        if self.warped == "camera":
            return warp_by_flow(camera, moved), lidar, flow
        return camera, warp_by_flow(lidar, moved), flow

    def _centers(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Cells' x (1, 1, cols) and y (1, rows, 1), metres over half the patch's length."""
        rows, cols = like.shape[-2:]
        x_min, y_min, x_max, y_max = self.grid.box_xy
        half = max(self.grid.size_m) / 2
        x = (torch.arange(cols, device=like.device, dtype=like.dtype) + 0.5) / cols * (x_max - x_min) + x_min
        y = (torch.arange(rows, device=like.device, dtype=like.dtype) + 0.5) / rows * (y_max - y_min) + y_min
        return x[None, None] / half, y[None, :, None] / half

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
