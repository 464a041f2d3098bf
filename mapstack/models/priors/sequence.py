"""SMERF's encoder of road centre lines: a token a polyline, a transformer among the polylines."""

import math

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import nn

from mapstack.geometry import BEVGrid
from mapstack.registry import MODELS
from mapstack.structures import PriorBatch
from mapstack.structures.prior_map import PRIOR_CLASSES

from .encoder import VectorTokens

__all__ = ["PolylineSequenceEncoder"]


@MODELS.register_module()
class PolylineSequenceEncoder(BaseModule):
    """The graph encoder of SMERF (ICRA 2024, section III-B).

    Each polyline becomes ``num_samples`` evenly spaced points; each coordinate, scaled by the patch, 16 sines and
    cosines; all of them and the class as a one-hot vector go through one linear layer, and the tokens through a
    post-norm transformer. Mended: padding is masked and every frame has one learned "no map" token, where the released
    code gives NaN for a frame without a road beside one that has some.

    Args:
        grid: keyword arguments of the task's :class:`BEVGrid`.
        num_samples: points of a polyline as they are embedded.
        embed_dims: C.
        num_heads: attention heads.
        num_layers: transformer layers.
        coordinate_dims: sines and cosines of a coordinate.
        temperature: of their wavelengths.
        init_cfg: as in MMEngine.
    """

    def __init__(
        self,
        grid: dict,
        num_samples: int = 11,
        embed_dims: int = 64,
        num_heads: int = 4,
        num_layers: int = 6,
        coordinate_dims: int = 16,
        temperature: float = 1000.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.grid, self.num_samples = BEVGrid(**grid), num_samples
        half = coordinate_dims // 2
        rates = 2 * math.pi / temperature ** (torch.arange(half) / half)
        self.register_buffer("rates", rates, persistent=False)
        self.embed = nn.Linear(num_samples * 2 * coordinate_dims + len(PRIOR_CLASSES), embed_dims)
        layer = nn.TransformerEncoderLayer(embed_dims, num_heads, embed_dims, dropout=0.1, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, num_layers, enable_nested_tensor=False)
        self.no_map = nn.Parameter(torch.zeros(1, 1, embed_dims))
        self.embed_dims = embed_dims

    def forward(self, vectors: PriorBatch) -> VectorTokens:
        """Encode the vectors of B frames."""
        lines = F.interpolate(
            vectors.points.flatten(0, 1).transpose(1, 2), self.num_samples, mode="linear", align_corners=True
        )
        lines = lines.transpose(1, 2).unflatten(0, vectors.labels.shape)  # (B, N, samples, 2)
        phase = self.grid.patch_from_ego(lines)[..., None] * self.rates
        waves = torch.cat([phase.sin(), phase.cos()], -1).flatten(2)
        kind = F.one_hot(vectors.labels, len(PRIOR_CLASSES)).to(waves.dtype)
        tokens = self.embed(torch.cat([waves, kind], -1))
        tokens = torch.cat([self.no_map.expand(tokens.shape[0], -1, -1), tokens], 1)
        absent = torch.cat([torch.zeros_like(vectors.valid[:, :1]), ~vectors.valid], 1)
        return VectorTokens(self.layers(tokens, src_key_padding_mask=absent)[:, 1:], None)
