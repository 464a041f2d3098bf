"""Cross-attention from one BEV map to another: over everything, or over windows that overlap."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["BEVCrossAttention", "sine_position"]


def sine_position(channels: int, rows: int, cols: int, like: Tensor) -> Tensor:
    """(1, C, rows, cols): sines and cosines of row and column at wavelengths from a few cells to thousands."""
    if channels % 4:
        raise ValueError(f"a sine position of two coordinates needs channels in fours, got {channels}")
    rate = torch.exp(torch.arange(channels // 4, device=like.device) * (-math.log(1000.0) / max(channels // 4 - 1, 1)))
    row = (torch.arange(rows, device=like.device)[:, None] * rate).T  # (C / 4, rows)
    col = (torch.arange(cols, device=like.device)[:, None] * rate).T
    row = row[:, :, None].expand(-1, -1, cols)
    col = col[:, None].expand(-1, rows, -1)
    return torch.cat([row.sin(), row.cos(), col.sin(), col.cos()])[None].to(like.dtype)


class BEVCrossAttention(nn.Module):
    """Every cell of one map asks the cells of another.

    With ``window=None`` it asks all of them: the form of SuperMapNet's code, whose cost grows with the square of the
    patch. Otherwise the asking map is cut into windows, and each asks its own cells and those within ``halo`` around
    them: the cost grows with the patch, and what is asked reaches further than sensors disagree. A window as large as
    the map is the full form, to rounding (a test).

    Args:
        in_channels: C of the asking map and of the asked one.
        embed_dims: width of the attention, a multiple of 4 and of ``num_heads``.
        num_heads: attention heads.
        window: edge of a window, cells; None for the full form.
        halo: cells asked beyond the window's edge.
    """

    def __init__(
        self,
        in_channels: tuple[int, int],
        embed_dims: int = 32,
        num_heads: int = 4,
        window: int | None = 10,
        halo: int = 5,
    ) -> None:
        super().__init__()
        if embed_dims % num_heads:
            raise ValueError(f"embed_dims {embed_dims} is no multiple of num_heads {num_heads}")
        asking, asked = in_channels
        self.query = nn.Conv2d(asking, embed_dims, 1)
        self.key = nn.Conv2d(asked, embed_dims, 1)
        self.value = nn.Conv2d(asked, embed_dims, 1)
        self.num_heads, self.window, self.halo = num_heads, window, halo
        self.out_channels = embed_dims

    def forward(self, asking: Tensor, asked: Tensor) -> Tensor:
        """Answers (B, E, rows, cols) for maps (B, C_a, rows, cols) and (B, C_b, rows, cols)."""
        position = sine_position(self.out_channels, *asking.shape[-2:], asking)
        query, key, value = self.query(asking) + position, self.key(asked) + position, self.value(asked)
        return self._full(query, key, value) if self.window is None else self._windowed(query, key, value)

    def _full(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        heads = [x.flatten(2).unflatten(1, (self.num_heads, -1)).transpose(2, 3) for x in (query, key, value)]
        answer = F.scaled_dot_product_attention(*heads)  # (B, heads, cells, d)
        return answer.transpose(2, 3).flatten(1, 2).unflatten(2, tuple(query.shape[-2:]))

    def _windowed(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        rows, cols = query.shape[-2:]
        fill = (-cols % self.window, -rows % self.window)  # up to whole windows, right and below
        query = self._windows(F.pad(query, (0, fill[0], 0, fill[1])), self.window)
        border = (self.halo, self.halo + fill[0], self.halo, self.halo + fill[1])
        reach = self.window + 2 * self.halo
        key, value = (self._windows(F.pad(x, border), reach) for x in (key, value))
        inside = F.pad(torch.ones(1, self.num_heads, rows, cols, device=key.device), border)
        inside = self._windows(inside, reach)[..., 0] > 0.5  # (1, windows x heads, keys)
        answer = F.scaled_dot_product_attention(query, key, value, attn_mask=inside[:, :, None])
        down, across = -(-rows // self.window), -(-cols // self.window)
        answer = answer.unflatten(2, (self.window, self.window)).unflatten(1, (down, across, self.num_heads))
        answer = answer.permute(0, 3, 6, 1, 4, 2, 5)  # (B, heads, d, down, window, across, window)
        answer = answer.flatten(5, 6).flatten(3, 4).flatten(1, 2)
        return answer[:, :, :rows, :cols]

    def _windows(self, x: Tensor, reach: int) -> Tensor:
        """(B, windows x heads, reach x reach, d): squares of a padded map (B, heads x d, H, W), a window apart."""
        x = x.unflatten(1, (self.num_heads, -1)).unfold(3, reach, self.window).unfold(4, reach, self.window)
        return x.permute(0, 3, 4, 1, 5, 6, 2).flatten(4, 5).flatten(1, 3)
