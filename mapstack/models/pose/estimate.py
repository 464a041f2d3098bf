"""Poses as a head gives them, and the motion between two."""

from dataclasses import dataclass

from torch import Tensor

from mapstack.geometry.rotation import Representation

__all__ = ["PoseEstimate"]


@dataclass(frozen=True)
class PoseEstimate:
    """Poses of D dimensions, 3 or 2.

    Args:
        translation: (..., D) in the head's units.
        numbers: (..., k) the rotation as its representation has it.
        matrix: (..., D, D) the same rotation.
    """

    translation: Tensor
    numbers: Tensor
    matrix: Tensor

    def __getitem__(self, index: object) -> "PoseEstimate":
        """The same of some of the leading axes."""
        return PoseEstimate(self.translation[index], self.numbers[index], self.matrix[index])

    def difference_to(self, other: "PoseEstimate") -> "PoseEstimate":
        """MapNet's v_ij as it is written: plain differences of translation and of numbers, in world axes."""
        return PoseEstimate(
            other.translation - self.translation, other.numbers - self.numbers, other.matrix - self.matrix
        )

    def motion_to(self, other: "PoseEstimate", representation: Representation) -> "PoseEstimate":
        """The rigid motion ``self_from_other``: what odometry measures, whatever the world's axes are."""
        world_to_self = self.matrix.transpose(-1, -2)
        moved = (world_to_self @ (other.translation - self.translation)[..., None]).squeeze(-1)
        turned = world_to_self @ other.matrix
        return PoseEstimate(moved, representation.from_matrix(turned), turned)
