"""Attention of an element's queries to the BEV cells that its mask covers (Mask2Former, CVPR 2022, section 3.2)."""

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["MaskedBEVAttention", "opened"]


class MaskedBEVAttention(nn.Module):
    """Multi-head attention with one mask for all queries of an element.

    Args:
        embed_dims: C.
        num_heads: attention heads.
    """

    def __init__(self, embed_dims: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(embed_dims, embed_dims)
        self.key_value = nn.Linear(embed_dims, 2 * embed_dims)
        self.out = nn.Linear(embed_dims, embed_dims)

    def forward(self, query: Tensor, open_cells: Tensor, value: Tensor) -> Tensor:
        """Attend.

        Args:
            query: (B, Q, P, C).
            open_cells: (B, Q, M) bool, True where an element may look; no row is all False.
            value: (B, M, C) features of the cells, position in them.

        Returns:
            (B, Q, P, C).
        """
        batch, queries, points, dims = query.shape
        heads = (self.num_heads, dims // self.num_heads)
        asked = self.query(query).flatten(1, 2).unflatten(-1, heads).transpose(1, 2)  # (B, heads, Q P, C / heads)
        key, content = (x.unflatten(-1, heads).transpose(1, 2) for x in self.key_value(value).chunk(2, -1))
        mask = open_cells[:, :, None].expand(-1, -1, points, -1).flatten(1, 2)[:, None]
        seen = F.scaled_dot_product_attention(asked, key, content, attn_mask=mask)
        return self.out(seen.transpose(1, 2).reshape(batch, queries, points, dims))


def opened(mask_logits: Tensor) -> Tensor:
    """(B, Q, M) bool: cells that the mask covers; all of them where it covers none."""
    inside = mask_logits.detach() >= 0
    return inside | ~inside.any(-1, keepdim=True)
