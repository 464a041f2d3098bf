"""How a vertex looks at the BEV: around where it stands, or everywhere."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapstack.geometry import BEVGrid
from mapstack.models.decoders.deformable import BEVDeformableAttention
from mapstack.models.decoders.position import PointEmbedding
from mapstack.registry import MODELS

__all__ = ["GlobalContext", "LocalContext"]


class _ScalarGrid(BEVGrid):
    """The same grid without a tensor made of Python numbers, which PyTorch cannot export from inside of a loop.

    See https://github.com/pytorch/pytorch/issues/180354.
    """

    def patch_from_ego(self, points: Tensor) -> Tensor:
        """As the parent has it, for (..., 2) tensors."""
        pairs = zip(points.unbind(-1), self.pc_range[:2], self.size_m, strict=True)
        return torch.stack([(value - low) / size for value, low, size in pairs], -1)


@MODELS.register_module()
class LocalContext(nn.Module):
    """Deformable attention around the newest vertex.

    Args:
        grid: the BEV grid of the map attended to.
        embed_dims: E.
        num_heads: attention heads.
        num_samples: BEV samples per head.
    """

    def __init__(self, grid: BEVGrid, embed_dims: int, num_heads: int, num_samples: int = 6) -> None:
        super().__init__()
        grid = _ScalarGrid(grid.pc_range, grid.cell_m)
        self.attend = BEVDeformableAttention(grid, embed_dims, num_heads, num_samples)

    def remember(self, value: Tensor) -> tuple[Tensor, ...]:
        """What is computed once of (B, E, rows, cols), however many vertices look at it."""
        return (value,)

    def forward(self, x: Tensor, reference: Tensor, memory: tuple[Tensor, ...]) -> Tensor:
        """Attend from (B, N, T, E) tokens that stand at (B, N, T, 2) ego metres."""
        return self.attend(x, reference, *memory)


@MODELS.register_module()
class GlobalContext(nn.Module):
    """Attention over the whole BEV in coarse cells, as the paper has it.

    Args:
        grid: the BEV grid of the map attended to.
        embed_dims: E.
        num_heads: attention heads.
        cell_m: edge of the coarse cells, to a whole number of the grid's; the paper's are 1.2 m.
    """

    def __init__(self, grid: BEVGrid, embed_dims: int, num_heads: int, cell_m: float = 1.2) -> None:
        super().__init__()
        self.num_heads, self.stride = num_heads, max(round(cell_m / grid.cell_m), 1)
        self.position = PointEmbedding(embed_dims)
        self.query = nn.Linear(embed_dims, embed_dims)
        self.key_value = nn.Linear(embed_dims, 2 * embed_dims)
        self.out = nn.Linear(embed_dims, embed_dims)
        centers = self._pool(torch.from_numpy(grid.centers()).float().permute(2, 0, 1)[None])
        self.register_buffer("centers", centers, persistent=False)

    def _pool(self, cells: Tensor) -> Tensor:
        """(B, C, rows, cols) to (B, S, C); a coarse cell at the edge averages what there is."""
        pooled = F.avg_pool2d(cells, self.stride, ceil_mode=True, count_include_pad=False)
        return pooled.flatten(2).transpose(1, 2)

    def _heads(self, x: Tensor) -> Tensor:
        """(B, S, E) to (B, heads, S, E / heads)."""
        return x.unflatten(2, (self.num_heads, x.shape[2] // self.num_heads)).transpose(1, 2)

    def remember(self, value: Tensor) -> tuple[Tensor, ...]:
        """Keys and values (B, heads, S, E / heads) of (B, E, rows, cols)."""
        cells = self._pool(value)
        keys, values = self.key_value(cells + self.position(self.centers)).chunk(2, -1)
        return self._heads(keys).contiguous(), self._heads(values).contiguous()  # apart, as an exported loop wants them

    def forward(self, x: Tensor, reference: Tensor, memory: tuple[Tensor, ...]) -> Tensor:
        """Attend from (B, N, T, E) tokens that stand at (B, N, T, 2) ego metres."""
        queries = self._heads(self.query(x + self.position(reference)).flatten(1, 2))
        seen = F.scaled_dot_product_attention(queries, *memory)  # (B, heads, N T, E / heads)
        return self.out(seen.transpose(1, 2).flatten(2)).view(x.shape)
