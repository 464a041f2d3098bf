"""BEV cells ask prior vectors: SMERF's cross-attention, and a form in which a cell knows where the vectors lie."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapstack.geometry import BEVGrid
from mapstack.models.fusion.attention import sine_position
from mapstack.structures import PriorBatch

from .addition import GatedAddition
from .encoder import VectorTokens
from .nearness import Nearness, coarse_centers, nearness

__all__ = ["BEVVectorAttention"]

OFFSET_SCALE_M = 5.0
FIRST_REACH_M = (2.0, 4.0, 8.0, 16.0)  # of the heads in turn, before training


class BEVVectorAttention(nn.Module):
    """Add to each BEV cell what the vectors around it say.

    Cells are queries, vectors are keys (SMERF, ICRA 2024, section III-C), and a learned "no map" key is always there.
    With ``local`` a head's logits fall with the distance from the cell to the vector at a learned rate, and the answer
    tells, beside the vector's features, where its nearest point lies from the cell. In the published form a cell must
    work out from coordinates inside of features which line is near; that takes tens of epochs to learn.

    Args:
        grid: of the BEV map.
        in_channels: C of the BEV map.
        embed_dims: C of the vectors' tokens.
        num_heads: attention heads.
        stride: cells of the map that ask together, along each side.
        local: see above; False is the published form.
    """

    def __init__(
        self, grid: BEVGrid, in_channels: int, embed_dims: int, num_heads: int = 4, stride: int = 2, local: bool = True
    ) -> None:
        super().__init__()
        self.grid, self.num_heads, self.local = grid, num_heads, local
        self.query = nn.Conv2d(in_channels, embed_dims, 1)
        self.key = nn.Linear(embed_dims, embed_dims)
        self.value = nn.Linear(embed_dims, embed_dims)
        self.no_map = nn.Parameter(torch.zeros(1, 1, embed_dims))
        if local:
            reach = torch.tensor([FIRST_REACH_M[i % len(FIRST_REACH_M)] for i in range(num_heads)])
            self.rate = nn.Parameter((1 / reach).expm1().log())  # per metre; softplus keeps it positive
        self.addition = GatedAddition(in_channels, embed_dims + (4 * num_heads if local else 0), stride)

    def forward(self, bev: Tensor, vectors: PriorBatch, tokens: VectorTokens, trust: Tensor) -> Tensor:
        """Enrich (B, C, rows, cols); ``trust`` (B, N) in [0, 1] scales what a vector says."""
        coarse = self.addition.coarse(bev)
        lies = None
        if self.local:
            centers = coarse_centers(self.grid, self.addition.stride, bev)
            lies = nearness(centers.flatten(0, 1), vectors.points)
        weight = self._weights(coarse, vectors.valid, tokens, lies) * trust[:, None, None]
        said = (weight @ self._split(self.value(tokens.elements))).transpose(1, 2).flatten(2)
        if lies is not None:
            said = torch.cat([said, _where(weight, lies)], -1)
        said = said.transpose(1, 2).unflatten(2, tuple(coarse.shape[-2:]))
        return self.addition(bev, coarse, said, vectors.valid.any(1))

    def _weights(self, coarse: Tensor, valid: Tensor, tokens: VectorTokens, lies: Nearness | None) -> Tensor:
        """(B, heads, M, N): how much each of M cells attends to each vector; with the "no map" key they sum to 1."""
        query = self.query(coarse)
        query = query + sine_position(query.shape[1], *coarse.shape[-2:], coarse)
        query = self._split(query.flatten(2).transpose(1, 2))
        keys = torch.cat([self.no_map.expand(coarse.shape[0], -1, -1), tokens.elements], 1)
        logits = query @ self._split(self.key(keys)).transpose(2, 3) / query.shape[-1] ** 0.5  # (B, heads, M, 1 + N)
        if lies is not None:
            logits = logits - F.pad(F.softplus(self.rate)[:, None, None] * lies.distance[:, None], (1, 0))
        absent = torch.cat([torch.zeros_like(valid[:, :1]), ~valid], 1)[:, None, None]
        return logits.masked_fill(absent, torch.finfo(logits.dtype).min).softmax(-1)[..., 1:]

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)


def _where(weight: Tensor, lies: Nearness) -> Tensor:
    """(B, M, 4 heads): how much a head attends to vectors at all, the offset to them, and how near they are."""
    x, y = (lies.offset / OFFSET_SCALE_M).clamp(-3, 3)[:, None].unbind(-1)
    near = torch.exp(-lies.distance)[:, None]  # (B, 1, M, N)
    told = [weight.sum(-1), (weight * x).sum(-1), (weight * y).sum(-1), (weight * near).sum(-1)]  # (B, heads, M) each
    return torch.cat(told, 1).transpose(1, 2)
