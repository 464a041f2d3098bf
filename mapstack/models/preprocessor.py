"""Batch what the dataset packed: stack images and calibrations, mark every LiDAR point with its frame."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mapstack.models.priors.batch import prior_inputs
from mapstack.registry import MODELS

__all__ = ["MapDataPreprocessor"]

STACKED = ("intrinsics", "ego_from_camera", "camera_valid", "depth", "sensor_error")


@MODELS.register_module()
class MapDataPreprocessor(BaseDataPreprocessor):
    """Turn pseudo-collated frames into the dictionary of tensors that the encoders read.

    Out: ``images`` (B, V, 3, H, W) normalised RGB, zero for an absent camera; ``intrinsics`` (B, V, 3, 3);
    ``ego_from_camera`` (B, V, 4, 4); ``camera_valid`` (B, V) bool; ``points`` (M, 6) frame index, x, y, z ego
    metres, intensity, time lag in s; ``lidar_valid`` (B,) bool, False for a frame without a point; ``depth``
    (B, V, h, w) metres, 0 where unknown; ``sensor_error`` (B, 4, 4), where training moved a sensor on purpose;
    ``prior_points`` (B, N, P, 2 or 3), ``prior_labels`` (B, N) and what else a :class:`PriorBatch` holds;
    ``batch_size`` int. Keys whose sensor is not configured are absent.

    Args:
        mean: RGB mean in 0..255.
        std: RGB standard deviation in 0..255.
        max_priors: prior vectors of a frame at most; the nearest and longest are kept, nearest first.
    """

    def __init__(
        self,
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[float] = (58.395, 57.12, 57.375),
        max_priors: int = 100,
    ) -> None:
        super().__init__()
        self.max_priors = max_priors
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def normalize(self, images: Tensor, camera_valid: Tensor) -> Tensor:
        """Normalise (..., 3, H, W) RGB in 0..255; cameras marked invalid (...) become zero."""
        return (images.float() - self.mean) / self.std * camera_valid[..., None, None, None]

    def forward(self, data: dict, training: bool = False) -> dict:
        """Batch one list of frames; ``data_samples`` pass through."""
        data = self.cast_data(data)
        frames = data["inputs"]
        batch: dict[str, Tensor | int] = {key: torch.stack(list(frames[key])) for key in STACKED if key in frames}
        batch["batch_size"] = len(next(iter(frames.values())))
        if "images" in frames:
            batch["images"] = self.normalize(torch.stack(list(frames["images"])), batch["camera_valid"])
        if "points" in frames:
            present = [len(points) > 0 for points in frames["points"]]
            batch["lidar_valid"] = torch.tensor(present, device=frames["points"][0].device)
            batch["points"] = torch.cat(
                [
                    torch.cat([points.new_full((len(points), 1), i), points], 1)
                    for i, points in enumerate(frames["points"])
                ]
            )
        if "prior" in frames:
            priors = [prior.to(self.mean.device, non_blocking=self._non_blocking) for prior in frames["prior"]]
            batch |= prior_inputs(priors, self.max_priors)
        return {"inputs": batch, "data_samples": data.get("data_samples")}
