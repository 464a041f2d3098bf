"""MapNet's losses (Brahmbhatt et al., CVPR 2018), with weights that are learned as variances of the errors are.

With h(e_t, e_r) = e_t exp(-beta) + beta + e_r exp(-gamma) + gamma the loss is the sum over frames of h of the absolute
errors, plus the sum over pairs of h of the relative ones. Errors are means over elements, as in MapNet's code (the
paper writes an L1 norm: a constant factor, which the learned weights take up).
"""

import torch
from torch import Tensor, nn

from mapstack.errors import ConfigError
from mapstack.geometry.rotation import geodesic_distance
from mapstack.registry import MODELS

from .estimate import PoseEstimate
from .head import representation_of

__all__ = ["MapNetLoss", "PoseEstimate", "weigh"]

ROTATION_ERRORS = ("numbers", "matrix", "geodesic")
RELATIVE = ("difference", "rigid", None)


def weigh(error: Tensor, log_var: Tensor) -> Tensor:
    """An error by its learned uncertainty: ``error exp(-log_var) + log_var``, least where log_var = log(error)."""
    return error * torch.exp(-log_var) + log_var


@MODELS.register_module()
class MapNetLoss(nn.Module):
    """Absolute poses, relative poses, and for unlabelled tuples odometry and satellite places.

    The weights are parameters, named as the project's style has them (MapNet's sax, saq, srx, srq): a translation's
    begins at 0, a rotation's at -3.

    Args:
        rotation: the head's representation.
        rotation_error: "numbers" compares representations, as MapNet does with log quaternions; "matrix" the elements
            of the matrices and "geodesic" the angle: both mean the same for every representation.
        relative: "difference" of the poses' numbers, as MapNet has it; "rigid" motion; None for absolute poses alone,
            which is PoseNet with learned weights.
        all_pairs: every pair of the tuple, not only neighbours.
        use_odometry: on unlabelled tuples compare rigid motions with ``odometry``.
        use_gnss: on unlabelled tuples compare x and y with ``gnss``.
        log_var_translation: where it begins, for absolute and relative alike.
        log_var_rotation: likewise.
        learn_weights: False leaves them there.
    """

    def __init__(
        self,
        rotation: str = "six_d",
        rotation_error: str = "matrix",
        relative: str | None = "difference",
        all_pairs: bool = False,
        use_odometry: bool = False,
        use_gnss: bool = False,
        log_var_translation: float = 0.0,
        log_var_rotation: float = -3.0,
        learn_weights: bool = True,
    ) -> None:
        super().__init__()
        if rotation_error not in ROTATION_ERRORS or relative not in RELATIVE:
            raise ConfigError(f"rotation_error is one of {ROTATION_ERRORS}, relative of {RELATIVE}")
        if rotation_error == "geodesic" and relative == "difference":
            raise ConfigError("a difference of rotations has no angle; set relative='rigid' with geodesic errors")
        self.representation, _ = representation_of(rotation)
        self.rotation_error, self.relative, self.all_pairs = rotation_error, relative, all_pairs
        self.use_odometry, self.use_gnss = use_odometry, use_gnss
        kinds = [""] + ["_relative"] * (relative is not None) + ["_odometry"] * use_odometry
        starts = {}
        for kind in kinds:
            starts |= {f"translation{kind}": log_var_translation, f"rotation{kind}": log_var_rotation}
        if use_gnss:
            starts["gnss"] = log_var_translation
        for name, start in starts.items():
            parameter = nn.Parameter(torch.tensor(float(start)), requires_grad=learn_weights)
            self.register_parameter(f"log_var_{name}", parameter)

    def forward(
        self,
        predicted: PoseEstimate,
        target: PoseEstimate,
        labelled: Tensor,
        odometry: PoseEstimate | None = None,
        gnss: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Weighted losses; a kind of which the batch has no tuple is 0.

        Args:
            predicted: (B, T).
            target: (B, T); not read where not labelled.
            labelled: (B,) bool.
            odometry: (B, T) in frames of their own.
            gnss: (B, T, 2) in the head's units.
        """
        losses = self._weighted("", self._errors(predicted, target), labelled)
        first, second = self._pairs(labelled.device, predicted.translation.shape[1])
        if self.relative is not None and len(first):
            motions = [
                pose[:, first].difference_to(pose[:, second])
                if self.relative == "difference"
                else pose[:, first].motion_to(pose[:, second], self.representation)
                for pose in (predicted, target)
            ]
            losses |= self._weighted("_relative", self._errors(*motions), labelled)
        if self.use_odometry and len(first):
            if odometry is None:
                raise ConfigError("MapNetLoss(use_odometry=True) needs SimulateOdometry or LoadTrajectories")
            motions = [pose[:, first].motion_to(pose[:, second], self.representation) for pose in (predicted, odometry)]
            losses |= self._weighted("_odometry", self._errors(*motions), ~labelled)
        if self.use_gnss:
            if gnss is None:
                raise ConfigError("MapNetLoss(use_gnss=True) needs SimulateGnss or LoadTrajectories")
            error = (predicted.translation[..., :2] - gnss).abs().mean(-1)
            losses["loss_gnss"] = _mean_where(error, ~labelled, self.log_var_gnss)
        return losses

    def _pairs(self, device: torch.device, count: int) -> tuple[Tensor, Tensor]:
        if self.all_pairs:
            return tuple(torch.triu_indices(count, count, 1, device=device))
        first = torch.arange(count - 1, device=device)
        return first, first + 1

    def _errors(self, predicted: PoseEstimate, target: PoseEstimate) -> tuple[Tensor, Tensor]:
        """(B, T) of translation and of rotation."""
        translation = (predicted.translation - target.translation).abs().mean(-1)
        if self.rotation_error == "numbers":
            return translation, (predicted.numbers - target.numbers).abs().mean(-1)
        if self.rotation_error == "matrix":
            return translation, (predicted.matrix - target.matrix).abs().mean((-2, -1))
        return translation, geodesic_distance(predicted.matrix, target.matrix)

    def _weighted(self, kind: str, errors: tuple[Tensor, Tensor], use: Tensor) -> dict[str, Tensor]:
        return {
            f"loss_{name}{kind}": _mean_where(error, use, getattr(self, f"log_var_{name}{kind}"))
            for name, error in zip(("translation", "rotation"), errors, strict=True)
        }


def _mean_where(error: Tensor, use: Tensor, log_var: Tensor) -> Tensor:
    """Weighted mean of (B, T) errors over the (B,) tuples in use, 0 where none is: a weight learns from errors only."""
    share = use.to(error.dtype)
    mean = (error * share[:, None]).sum() / (share.sum() * error.shape[1]).clamp_min(1)
    return weigh(mean, log_var) * (share.sum() > 0)
