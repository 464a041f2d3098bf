"""Small encoders over a rig of known geometry, and a backbone whose features are the pixels themselves."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapstack.models.camera.encoder import CameraEncoder
from mapstack.models.camera.lss import LSSEncoder
from mapstack.registry import MODELS

from ..conftest import camera_pose

GRID = {"pc_range": (-12, -6, -5, 12, 6, 3), "cell_m": 0.5}
KINDS = ("lss", "ipm", "bevformer", "gkt")
SIZE = (64, 96)
YAWS = (0.0, math.pi / 2, math.pi, -math.pi / 2)  # 100 degrees each: neighbours overlap


@MODELS.register_module()
class PixelBackbone(nn.Module):
    """Pixels as features: what reaches the BEV comes from that very place of the image.

    Args:
        strides: pixels per feature cell and side, of every level.
    """

    def __init__(self, strides: tuple[int, ...] = (1,)) -> None:
        super().__init__()
        self.strides, self.out_channels = strides, [6] * len(strides)

    def forward(self, images: Tensor) -> list[Tensor]:
        return [F.avg_pool2d(images, stride).repeat(1, 2, 1, 1) for stride in self.strides]


SMALL_RESNET = {"type": "TimmBackbone", "name": "resnet18", "kwargs": {"channels": (8, 8, 16, 16)}}
PIXELS = {"type": "PixelBackbone"}


def encoder_config(kind: str, backbone: dict = SMALL_RESNET, **changes: object) -> dict:
    own = {
        "lss": {"type": "LSSEncoder", "depth_range_m": (1.0, 13.0, 0.5)},
        "ipm": {"type": "IPMEncoder", "heights_m": (0.0, 0.5)},
        "bevformer": {"type": "BEVFormerEncoder", "heights_m": (0.0, 0.5), "num_heads": 2},
        "gkt": {"type": "GKTEncoder", "heights_m": (0.0, 0.5), "num_heads": 2, "kernel_size": (3, 3)},
    }[kind]
    shared = {"grid": GRID, "cell_m": 0.5, "channels": 8, "neck_channels": 8, "backbone": backbone}
    return {**shared, **own, **changes}


def make_encoder(kind: str, backbone: dict = SMALL_RESNET, **changes: object) -> CameraEncoder:
    return MODELS.build(encoder_config(kind, backbone, **changes)).eval()


def make_transparent(encoder: CameraEncoder) -> CameraEncoder:
    """Convolutions that look at their middle alone, so that only geometry decides where a pixel goes."""
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            values = module.weight.data.abs().sum((2, 3))  # positive: no ReLU hides a pixel
            module.weight.data.zero_()
            module.weight.data[:, :, module.kernel_size[0] // 2, module.kernel_size[1] // 2] = values
    if isinstance(encoder, LSSEncoder):  # depth from the ground alone, and sure of it
        encoder.prior_scale.data.fill_(5.0)
        encoder.head[1].weight.data[: len(encoder.depth_bins)] = 0
    return encoder


def make_inputs(batch: int = 1, yaws: tuple[float, ...] = YAWS, size: tuple[int, int] = SIZE) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    height, width = size
    intrinsics = torch.tensor([[40.0, 0, width / 2], [0, 40.0, height / 2 - 8], [0, 0, 1]])
    views = len(yaws)
    return {
        "images": torch.randn(batch, views, 3, height, width, generator=generator),
        "intrinsics": intrinsics.expand(batch, views, 3, 3).clone(),
        "ego_from_camera": torch.stack([camera_pose(yaw) for yaw in yaws]).expand(batch, views, 4, 4).clone(),
        "camera_valid": torch.ones(batch, views, dtype=torch.bool),
    }


def cell_of(encoder: CameraEncoder, point: tuple[float, float]) -> tuple[int, int]:
    row, col = encoder.grid.cells(torch.tensor([*point, 0.0])).tolist()
    return row, col
