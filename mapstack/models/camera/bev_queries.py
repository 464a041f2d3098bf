"""BEV queries that look into the images: BEVFormer's encoder, and the same with MapTR's kernel attention."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from mapstack.errors import ConfigError
from mapstack.models.decoders.deformable import BEVDeformableAttention
from mapstack.models.decoders.position import PointEmbedding
from mapstack.registry import MODELS

from .encoder import CameraEncoder
from .projection import Sightings, find_sightings
from .view_attention import KernelSampling, OffsetSampling, ViewAttention

__all__ = ["BEVFormerEncoder", "GKTEncoder"]

NUM_SELF_SAMPLES = 4  # of the attention among BEV cells, per head


class _Layer(nn.Module):
    """Attention among the BEV cells, attention to the images, a small network; a norm after each."""

    def __init__(self, self_attention: nn.Module, view_attention: nn.Module, embed_dims: int, dropout: float) -> None:
        super().__init__()
        self.self_attention, self.view_attention = self_attention, view_attention
        self.value = nn.Linear(embed_dims, embed_dims)
        self.feedforward = nn.Sequential(
            nn.Linear(embed_dims, 2 * embed_dims), nn.ReLU(), nn.Dropout(dropout), nn.Linear(2 * embed_dims, embed_dims)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(embed_dims) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, tokens: Tensor, position: Tensor, centers: Tensor, maps: list[Tensor], sightings: Sightings
    ) -> Tensor:
        """Update (B, Q, C) tokens of the cells at ``centers`` (rows, cols, 2), ego metres."""
        shape = centers.shape[:2]
        plane = self.value(tokens).transpose(1, 2).unflatten(2, shape)
        places = centers.flatten(0, 1).expand(tokens.shape[0], 1, -1, -1)
        near = self.self_attention((tokens + position)[:, None], places, plane)[:, 0]
        tokens = self.norms[0](tokens + self.dropout(near))
        seen = self.view_attention(tokens + position, maps, sightings)
        tokens = self.norms[1](tokens + self.dropout(seen))
        return self.norms[2](tokens + self.dropout(self.feedforward(tokens)))


class _BEVQueryEncoder(CameraEncoder):
    """What the two below share: a learned query per cell, and layers over them; they differ in the sampling.

    Args:
        base: arguments of :class:`CameraEncoder`.
        heights_m: ego z of the Z points of a cell's pillar.
        num_layers: layers.
        num_heads: heads of both attentions.
        sampling: makes one layer's sampling of a number of feature maps.
        max_views: cameras that a cell looks into.
        dropout: after each attention and in the small network.
    """

    def __init__(
        self,
        base: dict,
        heights_m: tuple[float, ...],
        num_layers: int,
        num_heads: int,
        sampling: Callable[[int], nn.Module],
        max_views: int,
        dropout: float,
    ) -> None:
        super().__init__(**base)
        channels, self.max_views = self.out_channels, max_views
        centers = self.grid.centers()
        pillars = np.stack([np.insert(centers, 2, height, axis=-1) for height in heights_m], axis=-2)
        self.register_buffer("centers", torch.from_numpy(centers).float(), persistent=False)
        pillars = torch.from_numpy(pillars).float().flatten(0, 1)  # (rows cols, Z, 3)
        self.register_buffer("pillars", pillars, persistent=False)
        # On top of the position: random codes would be noise that the first norm makes as large as what is seen.
        self.queries = nn.Parameter(torch.zeros(len(pillars), channels))
        self.position = PointEmbedding(channels)
        self.layers = nn.ModuleList(
            _Layer(
                BEVDeformableAttention(self.grid, channels, num_heads, NUM_SELF_SAMPLES),
                ViewAttention(base["neck_channels"], channels, sampling(self.neck.num_levels)),
                channels,
                dropout,
            )
            for _ in range(num_layers)
        )

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Encode (B, V, 3, H, W) images.

        Returns:
            BEV (B, C, rows, cols), and ``image_feats`` (B, V, N, h, w), the finest.
        """
        maps = self.features(inputs["images"])
        sightings = find_sightings(self.pillars, inputs, self.max_views)
        position = self.position(self.centers.flatten(0, 1))
        tokens = (self.queries + position).expand(inputs["images"].shape[0], -1, -1)
        for layer in self.layers:
            tokens = layer(tokens, position, self.centers, maps, sightings)
        return tokens.transpose(1, 2).unflatten(2, self.grid.shape), {"image_feats": maps[0]}


def _base(
    grid: dict, cell_m: float, backbone: dict, channels: int, neck_channels: int, neck: dict | None, num_heads: int
) -> dict:
    """Arguments of :class:`CameraEncoder`, checked against the heads."""
    if channels % num_heads:
        raise ConfigError(f"channels must be a multiple of num_heads, got {channels} and {num_heads}")
    names = {"grid": grid, "cell_m": cell_m, "backbone": backbone, "channels": channels}
    return {**names, "neck_channels": neck_channels, "neck": neck}


@MODELS.register_module()
class BEVFormerEncoder(_BEVQueryEncoder):
    """BEV queries with deformable attention to the cameras (BEVFormer, ECCV 2022, sections 3.2 and 3.3).

    StreamMapNet and MapTracker encode with one layer of it, BEVFormer with six. The memory over time is not in here
    (it is the Mapper's): the attention among the cells is BEVFormer's temporal attention without a past. Nothing
    depends on which camera an image is from, so any rig will do (the released code learns a code per camera).

    Args:
        grid: keyword arguments of the task's :class:`BEVGrid`.
        cell_m: edge of this encoder's BEV cells.
        backbone: built from MODELS.
        channels: C of queries and BEV features.
        heights_m: ego z of the points of a cell's pillar (the published ones divide the z range evenly, which leaves
            none on the road).
        num_layers: layers.
        num_heads: heads of both attentions.
        num_samples: samples per head, level and point of the pillar.
        max_views: cameras that a cell looks into, the best-placed first.
        dropout: after each attention and in the small network.
        neck_channels: C of the image features.
        neck: see :class:`CameraEncoder`; any number of levels.
    """

    def __init__(
        self,
        grid: dict,
        cell_m: float,
        backbone: dict,
        channels: int = 64,
        heights_m: tuple[float, ...] = (-0.5, 0.0, 0.5, 1.5),
        num_layers: int = 1,
        num_heads: int = 8,
        num_samples: int = 2,
        max_views: int = 2,
        dropout: float = 0.1,
        neck_channels: int = 64,
        neck: dict | None = None,
    ) -> None:
        base = _base(grid, cell_m, backbone, channels, neck_channels, neck, num_heads)
        sampling = partial(OffsetSampling, channels, num_heads, len(heights_m), num_samples)
        super().__init__(base, heights_m, num_layers, num_heads, sampling, max_views, dropout)


@MODELS.register_module()
class GKTEncoder(_BEVQueryEncoder):
    """BEV queries that read a fixed kernel of pixels at their projections (GKT, arXiv 2206.04584, as MapTR uses it).

    The layer around it is BEVFormer's, as in MapTR. The weights come from the query alone, as in MapTR's release; the
    GKT paper also compares the query with the features of the kernel.

    Args:
        grid: keyword arguments of the task's :class:`BEVGrid`.
        cell_m: edge of this encoder's BEV cells.
        backbone: built from MODELS.
        channels: C of queries and BEV features.
        heights_m: ego z of the points of a cell's pillar; head i looks at height i, and around again.
        num_layers: layers.
        num_heads: heads of both attentions, a multiple of the number of heights.
        kernel_size: (rows, cols) of image feature cells, both odd.
        max_views: cameras that a cell looks into, the best-placed first.
        dropout: after each attention and in the small network.
        neck_channels: C of the image features.
        neck: see :class:`CameraEncoder`; any number of levels.
    """

    def __init__(
        self,
        grid: dict,
        cell_m: float,
        backbone: dict,
        channels: int = 64,
        heights_m: tuple[float, ...] = (-0.5, 0.0, 0.5, 1.5),
        num_layers: int = 1,
        num_heads: int = 4,
        kernel_size: tuple[int, int] = (3, 5),
        max_views: int = 2,
        dropout: float = 0.1,
        neck_channels: int = 64,
        neck: dict | None = None,
    ) -> None:
        base = _base(grid, cell_m, backbone, channels, neck_channels, neck, num_heads)
        sampling = partial(KernelSampling, channels, num_heads, len(heights_m), tuple(kernel_size))
        super().__init__(base, heights_m, num_layers, num_heads, sampling, max_views, dropout)
