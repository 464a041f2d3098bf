"""The error of the pose that a prior map was placed by, seen from how the map fits the BEV features."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from numpy.typing import NDArray
from torch import Tensor

from mapstack.errors import ConfigError
from mapstack.geometry import BEVGrid
from mapstack.geometry.rotation import PLANAR_REPRESENTATIONS
from mapstack.geometry.se3 import invert, yaw_rad
from mapstack.models.priors.motion import cut_to_patch, move_points, move_priors
from mapstack.registry import MODELS
from mapstack.structures import MapDataSample, PriorBatch

from .alignment import LineAlignment, PointErrors, compose
from .estimate import PoseEstimate
from .losses import MapNetLoss
from .volume import MatchingVolume

__all__ = ["CorrectionOutput", "PoseCorrection"]

ROTATION = "yaw_vector"


@dataclass(frozen=True)
class CorrectionOutput:
    """What the sensors say of where B priors lie.

    Args:
        pose: (B, 3) x and y metres and yaw radians of ``bev_from_prior``; 0 for a frame without priors.
        covariance: (B, 3, 3) of it, as the points' scales have it; without priors the spread of what is tried.
        volume: (B, H) logits of the volume's motions.
        points: what the vectors' points were told, step by step.
        middles: (B, M, 2) the same points where the pose in hand puts them.
        present: (B,) bool, whether a frame has a vector to go by.
    """

    pose: Tensor
    covariance: Tensor
    volume: Tensor
    points: list[PointErrors]
    middles: Tensor
    present: Tensor


@MODELS.register_module()
class PoseCorrection(BaseModule):
    """Finds how a prior map must be moved to lie on what the sensors see, and moves it before it is used.

    A wide :class:`MatchingVolume` finds about where, :class:`LineAlignment` regresses the rest. Learned by
    cross-entropy over the volume, by the likelihood of the points' offsets, and by MapNet's losses (CVPR 2018) on the
    corrected poses: their absolute error and the relative one between those of a clip, with learned weights.

    In training the prior moves to its true place but for a small error, so that what uses it need not wait for this to
    be learned; ``DisturbPose`` must be in the pipeline, and ``LoadPriors(margin_m=...)`` keeps what a moved patch
    needs.

    Args:
        grid: keyword arguments of the task's :class:`BEVGrid`.
        cell_m: edge of the BEV cells.
        in_channels: C of the BEV map.
        classes: of the vectors that are matched.
        volume: ``stride``, ``reach``, ``turns_deg``, ``num_turns`` and ``hidden`` of the :class:`MatchingVolume`.
        alignment: ``steps``, ``correlation_m`` and ``hidden`` of the :class:`LineAlignment`.
        clip_length: frames of a clip in training, of which relative poses are compared; 1 compares none.
        residual_m: standard deviation along x and y of the error that a prior keeps in training.
        residual_deg: of its turn.
        loss: arguments of :class:`MapNetLoss`.
        move: False tells the error and leaves priors where they are: the comparison.
    """

    def __init__(
        self,
        grid: dict,
        cell_m: float,
        in_channels: int,
        classes: Sequence[str] = ("divider", "ped_crossing", "boundary"),
        volume: dict | None = None,
        alignment: dict | None = None,
        clip_length: int = 1,
        residual_m: float = 0.3,
        residual_deg: float = 0.3,
        loss: dict | None = None,
        move: bool = True,
    ) -> None:
        super().__init__()
        self.grid = BEVGrid(**grid)
        cells = self.grid.with_cell(cell_m)
        volume = {"stride": 2, "reach": 8, "turns_deg": 8.0, "num_turns": 9, **(volume or {})}
        self.volume = MatchingVolume(cells, in_channels=in_channels, classes=tuple(classes), **volume)
        self.alignment = LineAlignment(cells, in_channels, self.volume.labels, **(alignment or {}))
        self.loss_fn = MapNetLoss(**{"rotation": ROTATION, "relative": "rigid", **(loss or {})})
        if clip_length < 1:
            raise ConfigError(f"clip_length counts frames and must be at least 1, got {clip_length}")
        self.clip_length, self.move = clip_length, move
        self.residual = (residual_m, residual_m, float(np.deg2rad(residual_deg)))

    def forward(self, bev: Tensor, vectors: PriorBatch, true: Tensor | None = None) -> CorrectionOutput:
        """Estimate where priors lie.

        Args:
            bev: (B, C, rows, cols) encoded map.
            vectors: of B frames, placed by the pose in hand.
            true: (B, 3) in training: the alignment then begins within a step of the volume of it.
        """
        volume = self.volume(bev, vectors)
        if true is None:
            start = self.volume.poses[volume.argmax(1)]
        else:
            unit = true.new_tensor([self.volume.cell_m, self.volume.cell_m, self.volume.turn_step])
            start = true + unit * (2 * torch.rand_like(true) - 1)
        pose, covariance, points = self.alignment(bev, vectors, start)
        present = vectors.valid.any(1)
        pose = torch.where(present[:, None], pose, torch.zeros_like(pose))
        return CorrectionOutput(pose, covariance, volume, points, self.alignment.middles(vectors), present)

    def placed(self, vectors: PriorBatch, output: CorrectionOutput, true: Tensor | None = None) -> PriorBatch:
        """The priors where they are to be used, cut to the patch; ``true`` (B, 3) as in :meth:`forward`."""
        if true is not None:
            pose = true + true.new_tensor(self.residual) * torch.randn_like(true)
        elif self.move:
            pose = output.pose.detach()
        else:
            pose = torch.zeros_like(output.pose)
        return cut_to_patch(move_priors(vectors, pose), self.grid)

    @staticmethod
    def true_poses(samples: Sequence[MapDataSample], like: Tensor) -> Tensor:
        """(B, 3) x, y and yaw of the samples' ``bev_from_prior``.

        Raises:
            ConfigError: a sample has none.
        """
        lacking = [sample.token for sample in samples if "bev_from_prior" not in sample]
        if lacking:
            raise ConfigError(
                f"frame {lacking[0]} has no bev_from_prior to learn a pose's error from; put DisturbPose before "
                "LoadPriors"
            )
        matrices = [np.asarray(sample.bev_from_prior) for sample in samples]
        return like.new_tensor(np.stack([[pose[0, 3], pose[1, 3], yaw_rad(pose)] for pose in matrices]))

    def loss(self, output: CorrectionOutput, samples: Sequence[MapDataSample]) -> dict[str, Tensor]:
        """Losses of the parts, and MapNet's over the clips of a batch; frames without priors do not count."""
        true = self.true_poses(samples, output.pose)
        places = move_points(output.middles, true)
        losses = {
            "loss_correction_volume": _mean(
                F.cross_entropy(output.volume, self.volume.target(true), reduction="none"), output.present
            ),
            "loss_correction_points": sum(
                _mean(errors.likelihood_loss(places), output.present) for errors in output.points
            )
            / len(output.points),
        }
        if len(samples) % self.clip_length:
            raise ConfigError(
                f"a batch of {len(samples)} frames is no whole number of clips of {self.clip_length}; set clip_length"
            )
        placed = _reported_poses(samples, self.clip_length, output.pose)  # (clips, T, 3)
        clips = placed.shape[:2]
        predicted, target = (
            _estimate(compose(placed.flatten(0, 1), _inverse(pose)).unflatten(0, clips)) for pose in (output.pose, true)
        )
        poses = self.loss_fn(predicted, target, output.present.unflatten(0, clips).all(1))
        return losses | {name.replace("loss_", "loss_correction_"): value for name, value in poses.items()}


def _mean(each: Tensor, use: Tensor) -> Tensor:
    return (each * use).sum() / use.sum().clamp(min=1)


def _reported_poses(samples: Sequence[MapDataSample], clip_length: int, like: Tensor) -> Tensor:
    """(clips, T, 3) where the pose in hand puts each frame, seen from where it puts the first of its clip.

    In float64 until then: world coordinates are thousands of metres. An augmentation's mirror is in both and drops out.
    """
    reported = [np.asarray(s.world_from_bev) @ np.asarray(s.bev_from_prior) for s in samples]
    rows: list[NDArray] = []
    for first in range(0, len(reported), clip_length):
        clip = [invert(reported[first]) @ pose for pose in reported[first : first + clip_length]]
        rows.append(np.array([[pose[0, 3], pose[1, 3], yaw_rad(pose)] for pose in clip]))
    return like.new_tensor(np.stack(rows))


def _inverse(pose: Tensor) -> Tensor:
    x, y, yaw = pose.unbind(-1)
    cos, sin = yaw.cos(), yaw.sin()
    return torch.stack([-cos * x - sin * y, sin * x - cos * y, -yaw], -1)


def _estimate(pose: Tensor) -> PoseEstimate:
    matrix = PLANAR_REPRESENTATIONS["yaw"].to_matrix(pose[..., 2:])
    return PoseEstimate(pose[..., :2], PLANAR_REPRESENTATIONS[ROTATION].from_matrix(matrix), matrix)
