"""Drives made by hand: batches whose frames follow each other, and a decoder that remembers."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from mapstack.models.temporal import Past, QueryPropagation
from mapstack.registry import MODELS
from mapstack.structures import MapDataSample, MapElements

from .conftest import camera_pose, truth

GRID = {"pc_range": (-8, -4, -5, 8, 4, 3), "cell_m": 0.5}
CELL_M = 1.0  # 8 rows, 16 columns
NUM_CLASSES, NUM_POINTS = 3, 4


def pose(x: float, y: float = 0.0, yaw: float = 0.0) -> np.ndarray:
    """world_from_bev far from the world's origin."""
    matrix = np.eye(4)
    matrix[:2, :2] = [[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]]
    matrix[:2, 3] = 2000.0 + x, 1500.0 + y
    return matrix


def sample(scene: str, step: int, world_from_bev: np.ndarray | None = None, gap_s: float = 0.5) -> MapDataSample:
    """Frame number ``step`` of a scene, 2 m further than the one before; its truth is drawn from its name."""
    meta = {"token": f"{scene}{step}", "scene": scene, "timestamp_ns": round(step * gap_s * 1e9)}
    where = pose(2.0 * step, 0.1 * step, 0.05 * step) if world_from_bev is None else world_from_bev
    made = MapDataSample(metainfo={**meta, "world_from_bev": where})
    generator = torch.Generator().manual_seed(sum(map(ord, meta["token"])))
    elements = truth(3, generator, NUM_POINTS)
    made.gt = MapElements(elements.points * 0.25, elements.labels, closed=elements.closed, directed=elements.directed)
    return made


def drive(*frames: tuple[str, int], cameras: bool = False) -> dict:
    """A batch of (scene, step) frames with LiDAR, and cameras if asked; what is seen depends on the name alone."""
    samples = [sample(*frame) for frame in frames]
    inputs: dict[str, list[Tensor]] = {"points": []}
    for item in samples:
        generator = torch.Generator().manual_seed(sum(map(ord, item.token)))
        scale, shift = torch.tensor([16.0, 8.0, 2.0, 1.0, 0.2]), torch.tensor([0.5, 0.5, 0.5, 0, 0])
        inputs["points"].append((torch.rand(100, 5, generator=generator) - shift) * scale)
        if cameras:
            seen = {
                "images": torch.randint(0, 255, (2, 3, 32, 64), dtype=torch.uint8, generator=generator),
                "intrinsics": torch.tensor([[40.0, 0, 32], [0, 40, 16], [0, 0, 1]]).repeat(2, 1, 1),
                "ego_from_camera": torch.stack([camera_pose(0.0), camera_pose(math.pi)]),
                "camera_valid": torch.ones(2, dtype=torch.bool),
            }
            for key, value in seen.items():
                inputs.setdefault(key, []).append(value)
    return {"inputs": inputs, "data_samples": samples}


class RecallingDecoder(nn.Module):
    """The smallest decoder that streams: queries from pooled features, the best of the last frame among them."""

    streams = True

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.logits, self.points = nn.Linear(in_channels, 4 * num_classes), nn.Linear(in_channels, 4 * 2 * NUM_POINTS)
        self.recall = QueryPropagation(in_channels, 2, NUM_POINTS, num_classes)

    def initial_memory(self, bev: Tensor) -> dict[str, Tensor]:
        return self.recall.initial_memory(bev)

    def forward(self, bev: Tensor, past: Past) -> dict[str, Tensor]:
        pooled = bev.mean((2, 3))
        feats, points, scores = self.recall(past)
        logits = self.logits(pooled).unflatten(1, (4, -1))
        logits = torch.cat([logits[:, :2], logits[:, 2:] + scores + feats.mean(2, keepdim=True)], 1)
        own = self.points(pooled).unflatten(1, (4, NUM_POINTS, 2))
        points = torch.cat([own[:, :2], own[:, 2:] + points], 1)
        memory = self.recall.keep(logits, points, pooled[:, None].expand(-1, 4, -1))
        return {"logits": logits, "points": points, "memory": memory}

    def loss(self, bev: Tensor, truth: list[MapElements], past: Past) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        output = self(bev, past)
        losses = {"loss_points": output["points"].square().mean(), "loss_class": output["logits"].square().mean()}
        return losses, output["memory"]

    def predict(self, output: dict[str, Tensor]) -> list[MapElements]:
        labels = output["logits"].argmax(2)
        scores = output["logits"].sigmoid().amax(2)
        return [MapElements(p, n, s) for p, n, s in zip(output["points"], labels, scores, strict=True)]


MODELS.register_module(module=RecallingDecoder, force=True)


def streaming_mapper(decoder: str = "MapTRDecoder", temporal: bool = True, **options: object) -> nn.Module:
    """A tiny model, of LiDAR unless ``options`` say more, whose memory has something to say from the start."""
    config: dict = {
        "type": "Mapper",
        "grid": GRID,
        "cell_m": CELL_M,
        "num_classes": NUM_CLASSES,
        "lidar": {"type": "DynamicPillars", "channels": 8, "pillar_channels": 4},
        "temporal": {"type": "StreamingBEV"} if temporal else None,
        "decoder": {"type": decoder},
        **options,
    }
    if decoder == "MapTRDecoder":
        config["decoder"] |= {"num_points": NUM_POINTS, "num_queries": 6, "embed_dims": 16, "num_layers": 1}
    torch.manual_seed(0)
    model = MODELS.build(config)
    if temporal:
        nn.init.normal_(model.temporal.add.weight, std=0.5)
    if decoder == "RecallingDecoder":
        nn.init.normal_(model.decoder.recall.update[-1].weight, std=0.2)
    return model
