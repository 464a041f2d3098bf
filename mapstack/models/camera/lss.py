"""Lift-splat: image features spread along predicted depth and summed into BEV cells (LSS, ECCV 2020, section 3)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from mapstack.errors import ConfigError
from mapstack.geometry.camera import unproject
from mapstack.geometry.se3 import rotate_exactly
from mapstack.ops import BEVPoolPlan, BEVPoolPlanCache, BEVPoolTables, bev_pool_depth
from mapstack.registry import MODELS

from .encoder import CameraEncoder
from .projection import feature_pixels

__all__ = ["LSSEncoder"]


@MODELS.register_module()
class LSSEncoder(CameraEncoder):
    """Cameras to BEV by a depth distribution per image cell.

    Depth can be supervised by LiDAR (BEVDepth, AAAI 2023, section 3.2). ``ground_prior`` starts each cell's
    distribution at the depth where its ray meets the ground plane, so that an untrained network already
    splats the road where it lies; the network learns to add to it, and how much to trust it.

    Args:
        grid: keyword arguments of the :class:`BEVGrid` of the task; its range is the one splatted to.
        cell_m: edge of this encoder's BEV cells.
        backbone: built from MODELS; returns maps whose first is the resolution that is lifted.
        channels: C of the BEV features.
        depth_range_m: nearest depth, farthest depth, bin width.
        ground_prior: start from the ground plane.
        ground_z_m: ego z of the ground below the car: 0 on nuScenes, about -0.3 on Argoverse 2.
        neck_channels: C of the image features.
        depth_weight: weight of the depth loss.
        neck: see :class:`CameraEncoder`; one level.
    """

    def __init__(
        self,
        grid: dict,
        cell_m: float,
        backbone: dict,
        channels: int = 64,
        depth_range_m: tuple[float, float, float] = (1.0, 45.0, 1.0),
        ground_prior: bool = True,
        ground_z_m: float = 0.0,
        neck_channels: int = 64,
        depth_weight: float = 0.5,
        neck: dict | None = None,
    ) -> None:
        super().__init__(grid, cell_m, backbone, channels, neck_channels, neck)
        self.require_one_level()
        self.depth_weight = depth_weight
        self.register_buffer("depth_bins", torch.arange(*depth_range_m) + depth_range_m[2] / 2, persistent=False)
        self.far_m = float(self.depth_bins[-1])
        self.bin_m, self.ground_z_m = depth_range_m[2], ground_z_m
        self.head = nn.Sequential(
            Conv2dNormActivation(neck_channels + 1, neck_channels, 3),
            nn.Conv2d(neck_channels, len(self.depth_bins) + channels, 1),
        )
        self._plans = BEVPoolPlanCache()
        self.prior_scale = nn.Parameter(torch.zeros(())) if ground_prior else None

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Encode (B, V, 3, H, W) images.

        Returns:
            BEV (B, C, rows, cols), zero where no camera looks, and ``depth_logits`` (B, V, D, h, w) with
            ``image_feats`` (B, V, N, h, w).
        """
        images = inputs["images"]
        batch, views = images.shape[:2]
        feats = self.features(images)[0].flatten(0, 1)  # (B V, N, h, w)
        ground = self._ground_depth(inputs, feats.shape[-2:])  # (B, V, h, w)
        scaled = (ground / self.depth_bins[-1]).clamp(0, 2).flatten(0, 1)[:, None]
        out = self.head(torch.cat([feats, scaled], 1)).unflatten(0, (batch, views))
        logits, context = out.split([len(self.depth_bins), self.out_channels], dim=2)
        if self.prior_scale is not None:
            logits = logits + self._ground_logits(ground)
        depth = logits.softmax(2) * inputs["camera_valid"][:, :, None, None, None]
        aux = {"depth_logits": logits, "image_feats": feats.unflatten(0, (batch, views))}
        tables = BEVPoolTables.from_inputs(inputs, self.grid.shape)  # where a deployed model is fed them
        if tables is not None:
            return tables.pool(depth, context), aux
        return bev_pool_depth(depth, context, self._plan(inputs, feats.shape[-2:])), aux

    def _frustum(self, inputs: dict[str, Tensor], shape: torch.Size) -> Tensor:
        """(B, V, D, h, w, 3) ego metres of every depth bin of every feature cell."""
        pixels = feature_pixels(inputs["images"], shape).flatten(0, 1)  # (h w, 2)
        ones = torch.ones_like(pixels[:, 0])
        rays = unproject(pixels, ones, inputs["intrinsics"])  # (B, V, h w, 3)
        points = rays[:, :, None] * self.depth_bins[:, None, None]  # (B, V, D, h w, 3)
        ego_from_camera = inputs["ego_from_camera"][:, :, None]
        points = rotate_exactly(ego_from_camera[..., :3, :3], points) + ego_from_camera[..., None, :3, 3]
        return points.unflatten(3, tuple(shape))

    def _ground_depth(self, inputs: dict[str, Tensor], shape: torch.Size) -> Tensor:
        """(B, V, h, w) depth at which each cell's ray meets the ground; far for rays at or above the horizon."""
        pixels = feature_pixels(inputs["images"], shape).flatten(0, 1)
        rays = unproject(pixels, torch.ones_like(pixels[:, 0]), inputs["intrinsics"])
        down = -(inputs["ego_from_camera"][..., None, 2, :3] * rays).sum(-1)  # metres fallen per metre of depth
        height = inputs["ego_from_camera"][..., 2, 3][..., None] - self.ground_z_m
        depth = height / down.clamp(min=1e-3)
        return depth.clamp(max=4 * self.far_m).unflatten(2, tuple(shape))

    def _ground_logits(self, ground: Tensor) -> Tensor:
        """(B, V, D, h, w): a bump at the ground depth, one bin wide near and wider far off."""
        bins = self.depth_bins[:, None, None]
        width = self.bin_m + 0.1 * ground[:, :, None]
        # Bounded, so that what stands on the ground before it stays likely.
        bump = torch.exp(-(((bins - ground[:, :, None]) / width) ** 2))
        return 4.0 * self.prior_scale.exp() * bump

    def _plan(self, inputs: dict[str, Tensor], shape: torch.Size) -> BEVPoolPlan:
        """Which BEV cell each depth bin of each feature cell falls into; kept while the calibration stays."""
        sizes = torch.tensor([*inputs["images"].shape[-2:], *shape])
        key = (inputs["intrinsics"], inputs["ego_from_camera"], sizes)
        return self._plans.get(key, lambda: self._build_plan(inputs, shape))

    def _build_plan(self, inputs: dict[str, Tensor], shape: torch.Size) -> BEVPoolPlan:
        points = self._frustum(inputs, shape)  # (B, V, D, h, w, 3)
        batch = points.shape[0]
        cells = self.grid.cells(points)  # (B, V, D, h, w, 2)
        # A point above or below the range must not be pooled: an index of -1 is outside every grid.
        z_low, z_high = self.grid.pc_range[2], self.grid.pc_range[5]
        inside = (points[..., 2] >= z_low) & (points[..., 2] < z_high)
        frame = torch.arange(batch, device=cells.device).view(-1, 1, 1, 1, 1).expand(cells.shape[:-1])
        cells = torch.stack([torch.where(inside, frame, -1), cells[..., 0], cells[..., 1]], -1)
        return BEVPoolPlan.build(cells, (batch, *self.grid.shape))

    def loss(self, aux: dict[str, Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Cross-entropy of the depth bins where LiDAR measured one; empty without ``depth`` in the inputs."""
        if "depth" not in inputs:
            return {}
        logits = aux["depth_logits"].movedim(2, -1)  # (B, V, h, w, D)
        if inputs["depth"].shape != logits.shape[:4]:
            stride = inputs["images"].shape[-1] // logits.shape[3]
            raise ConfigError(
                f"depth is {tuple(inputs['depth'].shape)} and the lifted features {tuple(logits.shape[:4])}; use "
                f"LidarDepth(stride={stride}) in the pipeline"
            )
        target = ((inputs["depth"] - self.depth_bins[0]) / self.bin_m).round().long()
        known = (inputs["depth"] > 0) & (target >= 0) & (target < len(self.depth_bins))
        known = known & inputs["camera_valid"][..., None, None]
        target = torch.where(known, target, -100)
        total = F.cross_entropy(logits.flatten(0, 3), target.flatten(), ignore_index=-100, reduction="sum")
        return {"loss_depth": self.depth_weight * total / known.sum().clamp(min=1)}
