"""Town frames through the real pipeline and through the runtime's preparation, and a small model that is exported."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate

from mapstack.datasets import MapDataset
from mapstack.export.describe import ExportPlan, plan_export
from mapstack.export.exporter import export_onnx
from mapstack.export.playback import frame_from_row
from mapstack.export.sensors import SensorFrame
from mapstack.registry import MODELS

from ..models.conftest import GRID, mapper_config

CAMERAS = ("CAM_FRONT", "CAM_BACK")
LOAD_CAMERAS = ({"type": "LoadImages", "cameras": CAMERAS}, {"type": "ResizeCropImages", "size": (64, 96)})
LOAD_LIDAR = ({"type": "LoadLidar", "num_sweeps": 3, "ego_radius_m": 1.5},)
SMALL_UNET = {"type": "BEVUNet", "channels": (16, 16), "depths": (0, 1)}
CONFIG = {"classes": ("divider", "ped_crossing", "boundary"), "grid": GRID, "divider_rule": "maptrv2"}


def small_config(camera: bool = True, lidar: bool = True, **model: object) -> Config:
    """A config that :func:`mapstack.export.describe.plan_export` takes; ``model`` changes parts of the Mapper."""
    pipeline = [*(LOAD_CAMERAS if camera else ()), *(LOAD_LIDAR if lidar else ()), {"type": "PackMapInputs"}]
    whole = mapper_config(camera, lidar, num_layers=1) | {"bev_encoder": SMALL_UNET} | model
    if camera:  # what an export costs is its number of nodes
        whole["camera"] = whole["camera"] | {"backbone": {"type": "TimmBackbone", "name": "resnet10t"}}
    return Config({**CONFIG, "model": whole, "test_dataloader": {"dataset": {"pipeline": pipeline}}})


def dataset_of(config: Config, index: Path) -> MapDataset:
    """The town through the config's pipeline."""
    return MapDataset(str(index), [dict(step) for step in config.test_dataloader.dataset.pipeline], test_mode=True)


def seeded_model(config: Config) -> torch.nn.Module:
    """The config's model in eval mode, with statistics that a training would have left."""
    torch.manual_seed(0)
    model = MODELS.build(config.model.to_dict())
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    return model.eval()


def batch_of(model: torch.nn.Module, dataset: MapDataset, places: list[int]) -> Mapping[str, torch.Tensor]:
    """A preprocessed batch's inputs."""
    return model.data_preprocessor(pseudo_collate([dataset[place] for place in places]))["inputs"]


@dataclass
class Exported:
    """A small streaming model of cameras and LiDAR, fed by tables, with its file and the town frames it runs on."""

    model: torch.nn.Module
    plan: ExportPlan
    path: Path
    dataset: MapDataset

    def frame(self, place: int) -> SensorFrame:
        """A town frame as the vehicle would hand it over."""
        return frame_from_row(self.dataset.get_data_info(place))


def export_small(index: Path, path: Path) -> Exported:
    """Export the small model: every input that there is but priors."""
    config = small_config(temporal={"type": "StreamingBEV"})
    model, dataset = seeded_model(config), dataset_of(config, index)
    with torch.no_grad():  # the memory is added through a layer that starts at zero
        model.temporal.add.weight.normal_(0, 0.3)
    batch = batch_of(model, dataset, [0, 1])
    plan = plan_export(model, batch, config, CAMERAS, "tables")
    export_onnx(model, plan.tensors(batch), path, plan.metadata)
    return Exported(model, plan, path, dataset)
