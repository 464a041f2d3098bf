"""A recurrent BEV map that moves with the car (StreamMapNet, WACV 2024, section 3.3)."""

import torch
from torch import Tensor, nn

from mapstack.geometry import BEVGrid
from mapstack.registry import MODELS

from .stream import Past
from .warp import warp_bev

__all__ = ["StreamingBEV"]


@MODELS.register_module()
class StreamingBEV(nn.Module):
    """Warp the last frame's memory by the ego motion and update it with this frame's map by a gated recurrent unit.

    Departures from the paper: the gates also see which cells the memory covers, so that ground never seen before is not
    taken for ground seen empty; and the memory is added to the frame's own map through a layer that starts at
    zero, so that the model begins as the single-frame one that it may have been trained as.

    Args:
        grid: keyword arguments of the task's :class:`BEVGrid`; the patch that the map covers.
        in_channels: C of the frame's BEV map, and of the result.
        channels: C of the memory; ``in_channels`` by default.
    """

    def __init__(self, grid: dict, in_channels: int, channels: int | None = None) -> None:
        super().__init__()
        self.grid = BEVGrid(**grid)
        self.channels = channels or in_channels
        seen = in_channels + self.channels + 1
        self.gates = nn.Conv2d(seen, 2 * self.channels, 3, padding=1)
        self.candidate = nn.Conv2d(seen, self.channels, 3, padding=1)
        self.add = nn.Conv2d(self.channels, in_channels, 1)
        nn.init.zeros_(self.add.weight)
        nn.init.zeros_(self.add.bias)
        self.out_channels = in_channels

    def initial_memory(self, bev: Tensor) -> dict[str, Tensor]:
        """One row of what a frame without past starts from, for maps (B, C, rows, cols)."""
        return {"bev": bev.new_zeros(1, self.channels, *bev.shape[-2:])}

    def forward(self, bev: Tensor, past: Past) -> tuple[Tensor, dict[str, Tensor]]:
        """Update the memory with B maps (B, C, rows, cols).

        Returns:
            The enriched maps (B, C, rows, cols), and the memory ``bev`` (B, C', rows, cols) for the next frame.
        """
        covered = torch.ones_like(past.tensors["bev"][:, :1])
        memory = warp_bev(torch.cat([past.tensors["bev"], covered], 1), past.previous_from_current, self.grid)
        # Not a product: whatever a caller hands in for a frame without past, NaN too, must not get through.
        memory = torch.where(past.valid[:, None, None, None], memory, torch.zeros_like(memory))
        hidden, covered = memory[:, :-1], memory[:, -1:]
        keep, reset = self.gates(torch.cat([bev, memory], 1)).sigmoid().chunk(2, dim=1)
        candidate = self.candidate(torch.cat([bev, reset * hidden, covered], 1)).tanh()
        hidden = keep * hidden + (1 - keep) * candidate
        return bev + self.add(hidden), {"bev": hidden}
