"""PointPillars (CVPR 2019) from mmdet3d's own parts, behind mapstack's voxelizer: no compiled mmcv op is called."""

import torch
from torch import Tensor, nn

from mapstack import openmmlab
from mapstack.geometry import BEVGrid
from mapstack.ops import voxelize_hard
from mapstack.registry import MODELS

__all__ = ["PointPillars"]


@MODELS.register_module()
class PointPillars(nn.Module):
    """PillarFeatureNet, PointPillarsScatter, SECOND and SECONDFPN of mmdet3d.

    For those who come from mmdet3d and want its modules and weights; :class:`DynamicPillars` is faster, drops no
    point and exports to ONNX, which hard pillars, whose number depends on the data, do not.

    Args:
        grid: keyword arguments of :class:`BEVGrid`; its ``cell_m`` is the pillar's edge.
        cell_m: edge of the BEV cells returned. One or two pillars: SECOND's first stride follows it. The strides of
            another backbone and neck must lead there.
        pillar_channels: width of the pillar features.
        backbone: built from MODELS, ``mmdet3d.SECOND`` by default.
        neck: built from MODELS, ``mmdet3d.SECONDFPN`` by default.
        channels: C of the BEV features, what the neck returns.
        max_points: points kept in a pillar, the first ones.
        max_pillars: pillars kept in a frame on average over the batch, the first ones.
    """

    def __init__(
        self,
        grid: dict,
        cell_m: float,
        pillar_channels: int = 64,
        backbone: dict | None = None,
        neck: dict | None = None,
        channels: int = 128,
        max_points: int = 20,
        max_pillars: int = 20000,
    ) -> None:
        super().__init__()
        openmmlab.install()  # these parts are named here and not in the config that the tools scan
        self.grid, self.max_points, self.max_pillars = BEVGrid(**grid), max_points, max_pillars
        self.cell_m, self.out_channels = cell_m, channels
        edge = self.grid.cell_m
        self.features = MODELS.build(
            {
                "type": "mmdet3d.PillarFeatureNet",
                "in_channels": 5,
                "feat_channels": (pillar_channels,),
                "voxel_size": (edge, edge, self.grid.pc_range[5] - self.grid.pc_range[2]),
                "point_cloud_range": self.grid.pc_range,
            }
        )
        self.scatter = MODELS.build(
            {"type": "mmdet3d.PointPillarsScatter", "in_channels": pillar_channels, "output_shape": self.grid.shape}
        )
        half = channels // 2
        stride = max(1, round(cell_m / edge))  # the first layer's; the neck brings the second's maps back to its size
        second = {"layer_nums": (2, 2), "layer_strides": (stride, 2), "out_channels": (half, channels)}
        self.backbone = MODELS.build(backbone or {"type": "mmdet3d.SECOND", "in_channels": pillar_channels, **second})
        pyramid = {"in_channels": (half, channels), "out_channels": (half, half), "upsample_strides": (1, 2)}
        self.neck = MODELS.build(neck or {"type": "mmdet3d.SECONDFPN", **pyramid})

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Encode (M, 6) points (frame, x, y, z, intensity, time lag) of B frames; M may be 0.

        Returns:
            BEV (B, C, rows, cols), and an empty dictionary.

        Raises:
            ValueError: backbone and neck do not end at cells of ``cell_m``.
        """
        points, batch_size = inputs["points"], inputs["batch_size"]
        points = points[self.grid.contains(points[:, 1:4])]
        cells = torch.cat([points[:, :1].long(), self.grid.cells(points[:, 1:3])], 1)
        pillars = voxelize_hard(
            points[:, 1:],
            cells,
            (batch_size, *self.grid.shape),
            max_points=self.max_points,
            max_pillars=self.max_pillars * batch_size,
        )
        frame, row, col = pillars.coords.unbind(1)
        coords = torch.stack([frame, torch.zeros_like(frame), row, col], 1)  # mmdet3d's (batch, z, y, x)
        feats = self.features(pillars.feats, pillars.counts, coords)
        bev = self.neck(self.backbone(self.scatter(feats, coords, batch_size)))[0]
        wanted = self.grid.with_cell(self.cell_m).shape
        if tuple(bev.shape[-2:]) != wanted:
            raise ValueError(
                f"the LiDAR neck returns {tuple(bev.shape[-2:])} cells, cell_m={self.cell_m} wants {wanted}"
            )
        return bev, {}

    def loss(self, aux: dict[str, Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """No auxiliary loss."""
        return {}
