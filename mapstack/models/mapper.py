"""The model: sensors to BEV, fused, encoded, decoded into polylines. Every part is configuration."""

import inspect
from collections import OrderedDict

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from mapstack.errors import ConfigError, DataError
from mapstack.registry import MODELS
from mapstack.structures import MapDataSample

__all__ = ["Mapper"]

CAMERA_INPUTS = ("images", "intrinsics", "ego_from_camera", "camera_valid")


def _build(part: dict, shared: dict) -> nn.Module:
    """Build ``part``; what it leaves unsaid and its constructor takes comes from ``shared``."""
    constructor = MODELS.get(part["type"])
    if constructor is None:
        raise ConfigError(f"no module is registered as {part['type']!r}")
    taken = inspect.signature(constructor).parameters
    return MODELS.build({name: value for name, value in shared.items() if name in taken} | dict(part))


@MODELS.register_module()
class Mapper(BaseModel):
    """Builds a vector map from one frame.

    What the parts share is stated once: ``grid``, ``cell_m``, ``num_classes``, and the channels that one part
    hands to the next, are passed to every part that takes an argument of that name and does not set its own.

    Args:
        grid: keyword arguments of the task's :class:`BEVGrid`.
        cell_m: edge of the BEV cells that the sensors are encoded into.
        num_classes: K.
        decoder: BEV to polylines; has ``loss(bev, truth)`` and ``predict(output)``.
        camera: images to BEV; None for LiDAR only.
        lidar: points to BEV; None for cameras only.
        fusion: joins the BEV maps of several sensors; used when there are two.
        bev_encoder: works on the fused BEV map; None hands it to the decoder as it is.
        segmentation: auxiliary head on the encoded BEV; needs ``bev_mask`` in the samples.
        data_preprocessor: batches what the dataset packed.
        init_cfg: as in MMEngine.
    """

    def __init__(
        self,
        grid: dict,
        cell_m: float,
        num_classes: int,
        decoder: dict,
        camera: dict | None = None,
        lidar: dict | None = None,
        fusion: dict | None = None,
        bev_encoder: dict | None = None,
        segmentation: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(MODELS.build(data_preprocessor or {"type": "MapDataPreprocessor"}), init_cfg)
        shared = {"grid": grid, "cell_m": cell_m, "num_classes": num_classes}
        sensors = {name: part for name, part in (("camera", camera), ("lidar", lidar)) if part is not None}
        if not sensors:
            raise ConfigError("Mapper needs a camera or a lidar encoder, and has neither")
        if len(sensors) > 1 and fusion is None:
            raise ConfigError("Mapper has a camera and a lidar encoder and needs a fusion of the two")
        self.encoders = nn.ModuleDict({name: _build(part, shared) for name, part in sensors.items()})
        widths = tuple(encoder.out_channels for encoder in self.encoders.values())
        self.fusion = _build(fusion, shared | {"in_channels": widths}) if len(sensors) > 1 else None
        width = self.fusion.out_channels if self.fusion is not None else widths[0]
        self.bev_encoder = _build(bev_encoder, shared | {"in_channels": width}) if bev_encoder else nn.Identity()
        shared["in_channels"] = self.bev_encoder.out_channels if bev_encoder else width
        self.segmentation = _build(segmentation, shared) if segmentation else None
        self.decoder = _build(decoder, shared)
        self.to(memory_format=torch.channels_last)  # a third faster on CPUs, and what tensor cores want

    def encode(self, inputs: dict[str, Tensor]) -> tuple[Tensor, dict[str, dict[str, Tensor]]]:
        """BEV features (B, C, rows, cols) and each encoder's auxiliary output."""
        maps, aux = [], {}
        for name, encoder in self.encoders.items():
            needed = "images" if name == "camera" else "points"
            if needed not in inputs:
                raise DataError(f"the model has a {name} encoder but the frame has no {needed!r}; see its pipeline")
            bev, aux[name] = encoder(inputs)
            maps.append(bev)
        return self.bev_encoder(self.fusion(maps) if self.fusion is not None else maps[0]), aux

    def forward(
        self, inputs: dict[str, Tensor], data_samples: list[MapDataSample] | None = None, mode: str = "tensor"
    ) -> dict[str, Tensor] | list[MapDataSample]:
        """Run one batch.

        Args:
            inputs: what :class:`MapDataPreprocessor` returns.
            data_samples: B samples; with ``gt`` for the loss.
            mode: ``loss`` returns a dictionary of losses, ``predict`` the samples with ``pred`` set, ``tensor``
                ``scores`` (B, Q, K) and ``points`` (B, Q, P, 2) ego metres.
        """
        bev, aux = self.encode(inputs)
        if mode == "loss":
            return self._loss(bev, aux, inputs, data_samples)
        output = self.decoder(bev)
        if mode == "tensor":
            return {"scores": output["logits"].sigmoid(), "points": output["points"]}
        if mode != "predict":
            raise ValueError(f"mode must be loss, predict or tensor, got {mode!r}")
        for sample, elements in zip(data_samples, self.decoder.predict(output), strict=True):
            sample.pred = elements
        return data_samples

    def _loss(
        self, bev: Tensor, aux: dict[str, dict[str, Tensor]], inputs: dict[str, Tensor], samples: list[MapDataSample]
    ) -> dict[str, Tensor]:
        unlabelled = [sample.token for sample in samples if "gt" not in sample]
        if unlabelled:
            raise DataError(f"frame {unlabelled[0]} has no map to learn from; leave unlabelled frames out of training")
        losses = self.decoder.loss(bev, [sample.gt for sample in samples])
        for name, encoder in self.encoders.items():
            losses |= encoder.loss(aux[name], inputs)
        if self.segmentation is not None:
            losses |= self.segmentation.loss(bev, torch.stack([sample.bev_mask for sample in samples]).to(bev.device))
        return losses

    def export_inputs(self, inputs: dict[str, Tensor]) -> "OrderedDict[str, Tensor]":
        """The tensors of one preprocessed batch that :meth:`forward_export` takes, in its order."""
        names = CAMERA_INPUTS if "camera" in self.encoders else ()
        tensors = OrderedDict((name, inputs[name]) for name in names)
        if "lidar" in self.encoders:
            tensors["points"] = inputs["points"]
        if "camera" not in self.encoders:
            tensors["batch_like"] = inputs["points"].new_zeros(inputs["batch_size"])
        return tensors

    def forward_export(self, **tensors: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (B, Q, K) and points (B, Q, P, 2) ego metres from the tensors of :meth:`export_inputs`.

        The batch size is that of ``images``, or for LiDAR alone the length of ``batch_like``.
        """
        batch = tensors["images"] if "images" in tensors else tensors["batch_like"]
        output = self.forward({**tensors, "batch_size": batch.shape[0]}, mode="tensor")
        return output["scores"], output["points"]
