"""Draw the map into the camera images: the auxiliary perspective segmentation of MapTRv2 (section 3.5)."""

import torch
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from mapstack.models.losses import mask_loss
from mapstack.models.matching import batch_targets
from mapstack.registry import MODELS
from mapstack.structures import MapElements

__all__ = ["PerspectiveSegmentation", "perspective_masks"]

STEPS = 24  # between two points of an element: 0.13 m apart on a line of 60 m
MIN_DEPTH_M = 0.5


@torch.no_grad()
def perspective_masks(
    truth: list[MapElements],
    inputs: dict[str, Tensor],
    shape: tuple[int, int],
    num_classes: int,
    ground_z_m: float = 0.0,
) -> Tensor:
    """The truth as seen by each camera, whatever stands before it.

    Args:
        truth: B frames; points without a height lie at ``ground_z_m``.
        inputs: ``images`` (B, V, 3, H, W), ``intrinsics`` (B, V, 3, 3), ``ego_from_camera`` (B, V, 4, 4) and
            ``camera_valid`` (B, V) as they are after augmentation.
        shape: (h, w) cells that each image is cut into.
        num_classes: K.
        ground_z_m: ego z of the ground below the car.

    Returns:
        (B, V, K, h, w) bool, True in cells that an element of the class runs through; False for absent cameras.
    """
    pose, images = inputs["ego_from_camera"], inputs["images"]
    batch, views = images.shape[:2]
    mask = torch.zeros(batch, views, num_classes, *shape, dtype=torch.bool, device=pose.device)
    has_height = all(item.points.shape[-1] == 3 for item in truth)
    target = batch_targets(truth, pose.device, 3 if has_height else 2)
    if target.valid.shape[1] == 0:
        return mask
    given = target.points[:, :, 0]  # (B, N, P, D)
    share = torch.arange(STEPS, device=pose.device)[:, None] / STEPS
    dense = (given[:, :, :-1, None] + share * given.diff(dim=2)[:, :, :, None]).flatten(2, 3)  # (B, N, S, D)
    if not has_height:
        dense = torch.cat([dense, torch.full_like(dense[..., :1], ground_z_m)], -1)
    camera_from_ego = torch.linalg.inv(pose[..., :3, :3])[:, :, None, None]
    seen = (camera_from_ego @ (dense[:, None] - pose[:, :, None, None, :3, 3])[..., None])[..., 0]  # (B, V, N, S, 3)
    pixel = (inputs["intrinsics"][:, :, None, None] @ seen[..., None])[..., 0]
    depth = seen[..., 2].clamp(min=MIN_DEPTH_M)
    # A pixel spans half a unit about its whole coordinate, so cell 0 begins at -0.5.
    col = ((pixel[..., 0] / depth + 0.5) / (images.shape[-1] / shape[1])).floor()
    row = ((pixel[..., 1] / depth + 0.5) / (images.shape[-2] / shape[0])).floor()
    inside = (col >= 0) & (col < shape[1]) & (row >= 0) & (row < shape[0]) & (seen[..., 2] > MIN_DEPTH_M)
    inside = inside & target.valid[:, None, :, None] & inputs["camera_valid"][:, :, None, None]
    frame, view, element, step = inside.nonzero(as_tuple=True)
    at = (frame, view, element, step)
    mask[frame, view, target.labels[frame, element], row[at].long(), col[at].long()] = True
    return mask


@MODELS.register_module()
class PerspectiveSegmentation(nn.Module):
    """A head on image features; the truth is projected into the images as they were augmented.

    Args:
        image_channels: C of the image features.
        num_classes: K.
        weight: weight of the loss.
        ground_z_m: ego z of the ground below the car, for maps without heights.
    """

    def __init__(self, image_channels: int, num_classes: int, weight: float = 1.0, ground_z_m: float = 0.0) -> None:
        super().__init__()
        self.num_classes, self.weight, self.ground_z_m = num_classes, weight, ground_z_m
        self.head = nn.Sequential(
            Conv2dNormActivation(image_channels, image_channels // 2, 3),
            nn.Conv2d(image_channels // 2, num_classes, 1),
        )

    def loss(self, feats: Tensor, inputs: dict[str, Tensor], truth: list[MapElements]) -> dict[str, Tensor]:
        """Loss of (B, V, C, h, w) image features against B frames of truth."""
        logits = self.head(feats.flatten(0, 1))
        mask = perspective_masks(truth, inputs, logits.shape[-2:], self.num_classes, self.ground_z_m)
        return {"loss_perspective": self.weight * mask_loss(logits, mask.flatten(0, 1))}
