"""A small model and a made-up batch: shapes and gradients need no data set."""

import math

import pytest
import torch

from mapstack.structures import MapDataSample, MapElements

GRID = {"pc_range": (-30, -15, -5, 30, 15, 3), "cell_m": 0.3}
NUM_CLASSES = 3


def mapper_config(camera: bool = True, lidar: bool = True, **decoder: object) -> dict:
    config: dict = {
        "type": "Mapper",
        "grid": GRID,
        "cell_m": 0.6,
        "num_classes": NUM_CLASSES,
        "bev_encoder": {"type": "BEVUNet", "channels": (16, 16, 24), "depths": (0, 1, 1)},
        "segmentation": {"type": "BEVSegmentation"},
        "decoder": {"type": "MapTRDecoder", "num_queries": 20, "embed_dims": 32, "num_layers": 2, **decoder},
    }
    if camera:
        config["camera"] = {
            "type": "LSSEncoder",
            "channels": 16,
            "neck_channels": 16,
            "depth_range_m": (1.0, 31.0, 2.0),
            "backbone": {"type": "TimmBackbone", "name": "resnet18", "kwargs": {"channels": (8, 8, 16, 16)}},
        }
    if lidar:
        config["lidar"] = {"type": "DynamicPillars", "channels": 16, "pillar_channels": 8}
    if camera and lidar:
        config["fusion"] = {"type": "ConcatFusion", "channels": 16}
    return config


def camera_pose(yaw: float) -> torch.Tensor:
    """ego_from_camera of a camera 1.5 m above the ground, level, looking along ``yaw``."""
    pose = torch.eye(4)
    pose[:3, :3] = torch.tensor([[math.sin(yaw), 0, math.cos(yaw)], [-math.cos(yaw), 0, math.sin(yaw)], [0, -1.0, 0]])
    pose[2, 3] = 1.5
    return pose


def truth(count: int, generator: torch.Generator, num_points: int = 20) -> MapElements:
    """``count`` wandering lines, every third one a closed ring."""
    start = (torch.rand(count, 1, 2, generator=generator) - 0.5) * torch.tensor([40.0, 20.0])
    points = start + torch.randn(count, num_points, 2, generator=generator).cumsum(1) * 0.3
    closed = torch.arange(count) % 3 == 2
    points[closed, -1] = points[closed, 0]
    labels = torch.randint(0, NUM_CLASSES, (count,), generator=generator)
    return MapElements(points=points, labels=labels, closed=closed, directed=torch.zeros(count, dtype=torch.bool))


def packed_batch(counts: tuple[int, ...] = (6, 0, 9), camera: bool = True, lidar: bool = True) -> dict:
    """What pseudo_collate makes of packed frames, one per entry of ``counts`` (elements in its truth)."""
    generator = torch.Generator().manual_seed(0)
    views, height, width, frames = 2, 64, 96, len(counts)
    intrinsics = torch.tensor([[80.0, 0, 48], [0, 80, 32], [0, 0, 1]]).expand(views, 3, 3)
    inputs: dict[str, list[torch.Tensor]] = {}
    if camera:
        poses = torch.stack([camera_pose(0.0), camera_pose(math.pi)])
        inputs["images"] = [
            torch.randint(0, 255, (views, 3, height, width), dtype=torch.uint8, generator=generator)
            for _ in range(frames)
        ]
        inputs["intrinsics"] = [intrinsics.clone() for _ in range(frames)]
        inputs["ego_from_camera"] = [poses.clone() for _ in range(frames)]
        inputs["camera_valid"] = [torch.ones(views, dtype=torch.bool) for _ in range(frames)]
        inputs["depth"] = [torch.rand(views, height // 8, width // 8, generator=generator) * 30 for _ in range(frames)]
    if lidar:
        scale = torch.tensor([70.0, 40.0, 2.0, 1.0, 1.0])
        shift = torch.tensor([0.5, 0.5, 0.5, 0, 0])
        inputs["points"] = [(torch.rand(2000, 5, generator=generator) - shift) * scale for _ in range(frames)]
    samples = []
    for i, count in enumerate(counts):
        sample = MapDataSample(metainfo={"token": f"frame-{i}"})
        sample.gt = truth(count, generator)
        sample.bev_mask = torch.randint(0, 2, (NUM_CLASSES, 100, 200), dtype=torch.uint8, generator=generator)
        samples.append(sample)
    return {"inputs": inputs, "data_samples": samples}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
