"""From a trained model, its pipeline and a batch to what an export needs: example inputs and metadata."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from mmengine import Config
from torch import Tensor, nn

from mapstack import __version__
from mapstack.errors import ExportError
from mapstack.geometry import BEVGrid
from mapstack.models.camera.lss import LSSEncoder
from mapstack.models.lidar.pillars import DynamicPillars

from .metadata import LidarPreparation, ModelMetadata, PoolGeometry, text_hash
from .tables import PoolTableCache, pillar_tables

__all__ = ["POOLS", "ExportPlan", "describe_pipeline", "plan_export"]

POOLS = ("graph", "tables")
# Steps of a test pipeline that the runtime repeats, and those that do not change what the model sees; priors, the pose
# they are placed by and the sensors' calibration, with their errors, are the caller's.
REPEATED = ("LoadImages", "ResizeCropImages", "LoadLidar", "SetOrigin")
WITHOUT_EFFECT = ("VectorizeMap", "DrawMap", "LidarDepth", "PackMapInputs", "LoadPriors", "DisturbPose")
WITHOUT_EFFECT += ("MisalignSensor",)
RANDOM_OPTIONS = {"scale": (1.0, 1.0), "shift": 0.0, "flip_prob": 0.0, "rotate_deg": 0.0}


def describe_pipeline(pipeline: Sequence[Mapping]) -> dict[str, object]:
    """The metadata's fields that say how frames are prepared, from a test pipeline's configuration.

    Raises:
        ExportError: a step has no counterpart in the runtime, which would then see other data than the model was
            tested on.
    """
    fields: dict[str, object] = {}
    for step in pipeline:
        kind = step["type"].rpartition(".")[2]
        if kind == "LoseSensors" and not any(step.get(sensor) for sensor in ("cameras", "lidar", "intensity")):
            continue  # it stands there to be given a sensor by name, and loses none
        if kind not in REPEATED + WITHOUT_EFFECT:
            raise ExportError(f"the runtime has no counterpart of the pipeline's {kind}; take it out of the test data")
        if kind == "LoadLidar":
            names = ("num_sweeps", "ego_radius_m", "max_range_m")
            fields["lidar"] = LidarPreparation(**{name: step[name] for name in names if name in step})
        elif kind == "ResizeCropImages":
            drawn = [name for name, still in RANDOM_OPTIONS.items() if _as_tuple(step.get(name, still)) != still]
            if drawn:
                raise ExportError(f"the test pipeline's ResizeCropImages draws {drawn}; that is for training")
            fields["keep_bottom"] = float(step.get("keep_bottom", 1.0))
        elif kind == "SetOrigin":
            fields["origin"] = step.get("origin", "ego")
    return fields


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class ExportPlan:
    """What :func:`mapstack.export.exporter.export_onnx` takes.

    Args:
        model: the module.
        metadata: of its file.
    """

    model: nn.Module
    metadata: ModelMetadata

    def tensors(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The graph's inputs for a preprocessed batch, gather tables included where it takes them."""
        tensors = dict(self.model.export_inputs(batch))
        arrays, tables = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}, {}
        if self.metadata.pool is not None:
            cache = PoolTableCache(self.metadata.image_size, self.metadata.pool, self.metadata.grid)
            tables |= cache.get(arrays)
        if self.metadata.pillar_cell_m is not None:
            frames = len(arrays["images"] if "images" in arrays else arrays["batch_zeros"])
            pillars = self.metadata.grid.with_cell(self.metadata.pillar_cell_m)
            tables |= pillar_tables(arrays["points"], frames, pillars)
        return tensors | {name: torch.from_numpy(table) for name, table in tables.items()}


def plan_export(
    model: nn.Module, batch: Mapping[str, Tensor], cfg: Config, cameras: Sequence[str] = (), pool: str = "graph"
) -> ExportPlan:
    """Describe a model.

    Args:
        model: a built Mapper in eval mode.
        batch: a preprocessed batch's inputs.
        cfg: the config that it was trained with: classes, grid, divider rule and the test data's pipeline.
        cameras: names in the order of the batch's images.
        pool: "graph" works out inside the graph which depth bins and points share a cell; "tables" takes gather tables
            for that, which the runtime makes, once per calibration and cloud.
    """
    if pool not in POOLS:
        raise ExportError(f"pool must be one of {POOLS}, got {pool!r}")
    if not hasattr(model, "export_inputs"):
        raise ExportError(
            f"{type(model).__name__} is no mapper, and the runtime is for mappers; hand the module to "
            "mapstack.export.exporter.export_onnx yourself"
        )
    images = batch.get("images")
    fields = describe_pipeline(cfg.test_dataloader.dataset.pipeline)
    state = tuple(getattr(model, "export_state_names", ()))
    if state and fields.get("origin") == "lidar":
        raise ExportError("a model that streams cannot be exported with SetOrigin(origin='lidar'); use the ego's")
    metadata = ModelMetadata(
        classes=tuple(cfg.classes),
        grid=BEVGrid(**cfg.grid),
        divider_rule=cfg.divider_rule,
        image_size=None if images is None else tuple(images.shape[-2:]),
        num_cameras=0 if images is None else images.shape[1],
        mean=tuple(model.data_preprocessor.mean.flatten().tolist()),
        std=tuple(model.data_preprocessor.std.flatten().tolist()),
        config_hash=text_hash(cfg.pretty_text),
        version=__version__,
        cameras=tuple(cameras),
        state=state,
        max_gap_s=getattr(model, "max_gap_s", 1.5),
        max_priors=model.data_preprocessor.max_priors if getattr(model, "prior", None) is not None else None,
        **(_tables(model, images) if pool == "tables" else {}),
        **fields,
    )
    return ExportPlan(model, metadata)


def _tables(model: nn.Module, images: Tensor | None) -> dict[str, object]:
    """The metadata's fields on the tables that the model's encoders can take."""
    camera, lidar = (model.encoders[name] if name in model.encoders else None for name in ("camera", "lidar"))
    fields: dict[str, object] = {}
    if isinstance(camera, LSSEncoder):
        with torch.no_grad():
            feature_size = tuple(camera.features(images[:1])[0].shape[-2:])
        fields["pool"] = PoolGeometry(camera.grid.cell_m, tuple(camera.depth_bins.tolist()), feature_size)
    if isinstance(lidar, DynamicPillars):
        fields["pillar_cell_m"] = lidar.grid.cell_m
    if not fields:
        names = ", ".join(type(part).__name__ for part in (camera, lidar) if part is not None)
        raise ExportError(f"{names}: only LSSEncoder and DynamicPillars take tables; use --pool graph")
    return fields
