from pathlib import Path

import pytest
import torch
from torch import Tensor

from mapstack.export.exporter import export_onnx
from mapstack.export.metadata import ModelMetadata, text_hash
from mapstack.geometry import BEVGrid

from .models import StandIn
from .rigs import Exported, export_small

METADATA = ModelMetadata(
    classes=("divider", "ped_crossing", "boundary"),
    grid=BEVGrid((-30, -15, -5, 30, 15, 3), 0.3),
    divider_rule="maptrv2",
    image_size=(96, 160),
    num_cameras=6,
    mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 57.375),
    config_hash=text_hash("a config"),
    version="0.1.0",
)


def stand_in_inputs(batch: int, num_points: int, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(num_points, 5, generator=generator)
    points[:, 0] = torch.randint(batch, (num_points,), generator=generator)
    pose = torch.eye(2, 3).repeat(batch, 1, 1) + 0.05 * torch.randn(batch, 2, 3, generator=generator)
    return {"points": points, "pose": pose}


@pytest.fixture(scope="session")
def stand_in() -> StandIn:
    torch.manual_seed(0)
    return StandIn().eval()


@pytest.fixture(scope="session")
def onnx_path(stand_in: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "made" / "model.onnx"
    export_onnx(stand_in, stand_in_inputs(2, 50), path, METADATA)
    return path


@pytest.fixture(scope="session")
def town_export(town_index: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Made once: an export takes ten seconds."""
    return export_small(town_index["val"], tmp_path_factory.mktemp("town-onnx") / "small.onnx")
