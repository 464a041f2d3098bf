"""From image features to a pose, the rotation in any representation."""

import torch
from torch import Tensor, nn

from mapstack.errors import ConfigError
from mapstack.geometry.rotation import PLANAR_REPRESENTATIONS, REPRESENTATIONS, Representation
from mapstack.registry import MODELS

from .estimate import PoseEstimate

__all__ = ["PoseHead", "representation_of"]


def representation_of(name: str) -> tuple[Representation, int]:
    """A representation and the dimensions D of its space: 3, or 2 for those of the plane.

    Raises:
        ConfigError: there is no such representation.
    """
    if name in REPRESENTATIONS:
        return REPRESENTATIONS[name], 3
    if name in PLANAR_REPRESENTATIONS:
        return PLANAR_REPRESENTATIONS[name], 2
    known = ", ".join([*REPRESENTATIONS, *PLANAR_REPRESENTATIONS])
    raise ConfigError(f"no rotation representation {name!r}; choose one of {known}")


@MODELS.register_module()
class PoseHead(nn.Module):
    """PoseNet's head: one hidden layer, then a linear layer each for translation and rotation.

    Translations are computed relative to ``origin`` in units of ``scale``, buffers that PoseStatisticsHook fills with
    the mean and the spread of the training poses (zero and one until then, as MapNet has it on 7-Scenes).

    Args:
        in_channels: of the features.
        hidden_channels: MapNet has 2048.
        rotation: a name of ``REPRESENTATIONS``, or of ``PLANAR_REPRESENTATIONS`` for poses in the plane.
        dropout: after the hidden layer.
    """

    def __init__(
        self, in_channels: int, hidden_channels: int = 2048, rotation: str = "six_d", dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.representation, self.num_dims = representation_of(rotation)
        self.hidden = nn.Sequential(nn.Linear(in_channels, hidden_channels), nn.ReLU(), nn.Dropout(dropout))
        self.translation = nn.Linear(hidden_channels, self.num_dims)
        self.rotation = nn.Linear(hidden_channels, self.representation.dims)
        self.register_buffer("origin", torch.zeros(3))
        self.register_buffer("scale", torch.ones(()))
        for layer in (self.hidden[0], self.translation, self.rotation):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
        with torch.no_grad():  # begin near the identity: six numbers near zero are no rotation, nor are four
            self.rotation.weight.mul_(0.1)
            identity = torch.eye(self.num_dims)
            self.rotation.bias.copy_(self.representation.from_matrix(identity))

    def forward(self, features: Tensor) -> PoseEstimate:
        """Estimate poses of (..., C) features."""
        hidden = self.hidden(features)
        numbers = self.rotation(hidden)
        return PoseEstimate(self.translation(hidden), numbers, self.representation.to_matrix(numbers))

    def estimate_of(self, poses: Tensor) -> PoseEstimate:
        """The estimate that would be right.

        Args:
            poses: (..., 4, 4) world_from_body, float64 for the sake of large coordinates.
        """
        d = self.num_dims
        translation = self.translation_of(poses[..., :d, 3])
        rotation = poses[..., :d, :d].to(translation)
        if d == 2:  # the heading alone: the tilted x axis, laid on the ground
            rotation = PLANAR_REPRESENTATIONS["yaw_vector"].to_matrix(rotation[..., 0])
        return PoseEstimate(translation, self.representation.from_matrix(rotation), rotation)

    def translation_of(self, places: Tensor) -> Tensor:
        """(..., d) world metres in the head's units."""
        return ((places - self.origin[: places.shape[-1]]) / self.scale).to(self.origin.dtype)

    def poses_of(self, estimate: PoseEstimate) -> Tensor:
        """(..., 4, 4) float32 world_from_body; what the plane does not say is height ``origin`` and no tilt."""
        d = self.num_dims
        # Made of whole tensors, not written into one: the exported graph then holds no scatter.
        place = torch.cat(
            [
                estimate.translation * self.scale + self.origin[:d],
                self.origin[d:].expand(*estimate.translation.shape[:-1], 3 - d),
            ],
            -1,
        )
        rotation = estimate.matrix
        if d == 2:
            up = rotation.new_tensor([0.0, 0.0, 1.0]).diag()
            rotation = nn.functional.pad(rotation, (0, 1, 0, 1)) + up
        bottom = rotation.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*rotation.shape[:-2], 1, 4)
        return torch.cat([torch.cat([rotation, place[..., None]], -1), bottom], -2)
