"""MapNet: an image to the pose it was taken from, trained on tuples of frames."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor

from mapstack.errors import ConfigError
from mapstack.registry import MODELS
from mapstack.structures import PoseDataSample

from .estimate import PoseEstimate

__all__ = ["MapNet"]


@MODELS.register_module()
class MapNet(BaseModel):
    """A backbone, means over its last map, and a pose head. Each image is estimated by itself; losses join them.

    Args:
        backbone: images to feature maps, with ``out_channels``.
        head: :class:`PoseHead`; ``in_channels`` is set here.
        loss: :class:`MapNetLoss`; its ``rotation`` is the head's and set here.
        pool: (rows, columns) of the parts of the last map that are averaged each; (1, 1) is the paper's.
        data_preprocessor: :class:`MapDataPreprocessor` by default.
        init_cfg: as in MMEngine.
    """

    def __init__(
        self,
        backbone: dict,
        head: dict,
        loss: dict,
        pool: tuple[int, int] = (1, 1),
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(MODELS.build(data_preprocessor or {"type": "MapDataPreprocessor"}), init_cfg)
        self.backbone = MODELS.build(backbone)
        self.pool = tuple(pool)
        self.head = MODELS.build({**head, "in_channels": self.backbone.out_channels[-1] * pool[0] * pool[1]})
        self.loss = MODELS.build({**loss, "rotation": head.get("rotation", "six_d")})
        self.to(memory_format=torch.channels_last)

    def set_statistics(self, origin: Sequence[float], scale: float) -> None:
        """Take the training places' mean (3,) and spread, metres, as the head's origin and unit."""
        self.head.origin.copy_(torch.as_tensor(origin))
        self.head.scale.fill_(scale)

    def estimate(self, images: Tensor) -> PoseEstimate:
        """Poses of (N, 3, H, W) images, (N,).

        Raises:
            ConfigError: the last map is not a whole number of parts along a side.
        """
        last = self.backbone(images)[-1]
        (height, width), (rows, columns) = last.shape[-2:], self.pool
        if height % rows or width % columns:
            raise ConfigError(
                f"images of {tuple(images.shape[-2:])} give a map of {height} x {width} cells, which pool={self.pool} "
                f"does not divide; choose another size or pool"
            )
        return self.head(F.avg_pool2d(last, (height // rows, width // columns)).flatten(1))

    def forward(
        self, inputs: dict[str, Tensor], data_samples: list[PoseDataSample] | None = None, mode: str = "tensor"
    ) -> dict[str, Tensor] | list[PoseDataSample] | Tensor:
        """Run one batch of tuples.

        Args:
            inputs: with ``images`` (B, T, 3, H, W).
            data_samples: B samples; with ``poses`` for the loss.
            mode: ``loss`` returns a dictionary of losses, ``predict`` the samples with ``pred`` set, ``tensor`` poses
                (B, T, 4, 4) world_from_body.
        """
        images = inputs["images"]
        estimate = self.estimate(images.flatten(0, 1))
        if mode == "loss":
            return self._loss(_unflatten(estimate, images.shape[:2]), data_samples)
        poses = self.head.poses_of(estimate).unflatten(0, images.shape[:2])
        if mode == "tensor":
            return poses
        if mode != "predict":
            raise ValueError(f"mode must be loss, predict or tensor, got {mode!r}")
        for sample, pose in zip(data_samples, poses, strict=True):
            sample.pred = pose
        return data_samples

    def _loss(self, estimate: PoseEstimate, samples: list[PoseDataSample]) -> dict[str, Tensor]:
        labelled = torch.tensor([sample.labelled for sample in samples], device=estimate.matrix.device)
        target = self.head.estimate_of(torch.stack([sample.poses for sample in samples]))
        odometry = gnss = None
        if self.loss.use_odometry:
            odometry = self.head.estimate_of(torch.stack(_all(samples, "odometry")))
        if self.loss.use_gnss:
            gnss = self.head.translation_of(torch.stack(_all(samples, "gnss")))
        return self.loss(estimate, target, labelled, odometry, gnss)

    def forward_export(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Place (B, 3) in world metres and rotation (B, 3, 3) world_from_body of (B, 3, H, W) normalised images."""
        poses = self.head.poses_of(self.estimate(images))
        return poses[:, :3, 3], poses[:, :3, :3]


def _unflatten(estimate: PoseEstimate, shape: torch.Size) -> PoseEstimate:
    return PoseEstimate(*(value.unflatten(0, shape) for value in vars(estimate).values()))


def _all(samples: list[PoseDataSample], key: str) -> list[Tensor]:
    lacking = [sample.token for sample in samples if key not in sample]
    if lacking:
        raise ConfigError(
            f"frame {lacking[0]} has no {key}; put SimulateGnss, SimulateOdometry or LoadTrajectories into its pipeline"
        )
    return [sample.get(key) for sample in samples]
