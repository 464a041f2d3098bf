"""SuperMapNet's fusion of camera and LiDAR (arXiv 2505.13856, section 3.2): cross-attention and alignment."""

import torch
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from mapstack.registry import MODELS

from .alignment import FlowAlignment
from .attention import BEVCrossAttention
from .concat import ConcatFusion

__all__ = ["SynergyEnhancement", "SynergyFusion"]


class _Enrich(nn.Module):
    """Add to a map what it was answered, through a layer that adds nothing before training."""

    def __init__(self, channels: int, answer_channels: int) -> None:
        super().__init__()
        self.answer = Conv2dNormActivation(answer_channels, channels, 1)
        self.merge = Conv2dNormActivation(2 * channels, channels, 3, activation_layer=None)
        nn.init.zeros_(self.merge[1].weight)

    def forward(self, bev: Tensor, answer: Tensor) -> Tensor:
        return bev + self.merge(torch.cat([bev, self.answer(answer)], 1))


class SynergyEnhancement(nn.Module):
    """Meaning from the camera for the LiDAR's map, and geometry from the LiDAR for the camera's, both at once.

    Args:
        in_channels: C of the camera's map and of the LiDAR's; they stay.
        kwargs: of :class:`BEVCrossAttention`.
    """

    def __init__(self, in_channels: tuple[int, int], **kwargs: int | None) -> None:
        super().__init__()
        camera, lidar = in_channels
        self.from_lidar = BEVCrossAttention((camera, lidar), **kwargs)
        self.from_camera = BEVCrossAttention((lidar, camera), **kwargs)
        self.enrich_camera = _Enrich(camera, self.from_lidar.out_channels)
        self.enrich_lidar = _Enrich(lidar, self.from_camera.out_channels)

    def forward(self, camera: Tensor, lidar: Tensor) -> tuple[Tensor, Tensor]:
        """Enriched maps (B, C_c, rows, cols) and (B, C_l, rows, cols)."""
        to_camera, to_lidar = self.from_lidar(camera, lidar), self.from_camera(lidar, camera)
        return self.enrich_camera(camera, to_camera), self.enrich_lidar(lidar, to_lidar)


@MODELS.register_module()
class SynergyFusion(ConcatFusion):
    """Enrich both maps by each other, align one with the other, concatenate; the first two switchable.

    Departures from the published modules: windows in place of full attention unless asked, and what attention finds is
    added to the map instead of replacing it. So an untrained ``SynergyFusion`` computes what ``ConcatFusion`` does
    and takes its weights: the two are compared from one start (docs/FUSION.md).

    Args:
        grid: keyword arguments of the task's :class:`BEVGrid`.
        cell_m: edge of the maps' cells.
        in_channels: C of the camera's map and of the LiDAR's, in this order.
        channels: C of the result.
        synergy: keyword arguments of :class:`BEVCrossAttention`; None leaves the attention out.
        alignment: keyword arguments of :class:`FlowAlignment`; None leaves the alignment out.
    """

    def __init__(
        self,
        grid: dict,
        cell_m: float,
        in_channels: tuple[int, int],
        channels: int = 64,
        synergy: dict | None = None,
        alignment: dict | None = None,
    ) -> None:
        super().__init__(in_channels, channels)
        self.synergy = SynergyEnhancement(in_channels, **synergy) if synergy is not None else None
        self.alignment = FlowAlignment(grid, cell_m, in_channels, **alignment) if alignment is not None else None

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Fuse the camera's map (B, C_c, rows, cols) and the LiDAR's (B, C_l, rows, cols).

        Returns:
            (B, C, rows, cols), and the ``flow`` (B, 2, rows, cols) that aligned them.
        """
        camera, lidar = maps
        if self.synergy is not None:
            camera, lidar = self.synergy(camera, lidar)
        aux = {}
        if self.alignment is not None:
            camera, lidar, aux["flow"] = self.alignment(camera, lidar)
        return super().forward([camera, lidar])[0], aux

    def loss(self, aux: dict[str, Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The alignment's loss, where it has one."""
        return self.alignment.loss(aux["flow"], inputs) if self.alignment is not None else {}

    def measured(self, aux: dict[str, Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the alignment left of an error that was made on purpose: see :meth:`FlowAlignment.measured`."""
        return self.alignment.measured(aux["flow"], inputs) if self.alignment is not None else {}
