"""Where image features lie in the image, where ego points fall in it, and sampling of several cameras at once."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mapstack.geometry.camera import invert_3x3
from mapstack.geometry.se3 import rotate_exactly

__all__ = ["Sightings", "atlas_location", "find_sightings", "project_to_views", "stack_atlas", "feature_pixels"]

NEAR_M = 0.1  # a point nearer to the image plane is not seen
FAR_OUT = (-1.0, 2.0)  # in widths and heights of the image: as far outside as a place need be to be outside


def feature_pixels(images: Tensor, shape: torch.Size) -> Tensor:
    """(h, w, 2) pixel centres, as (u, v) in ``images``, of the cells of feature maps of ``shape`` (h, w)."""
    height, width = images.shape[-2:]
    v = (torch.arange(shape[0], device=images.device) + 0.5) * (height / shape[0]) - 0.5
    u = (torch.arange(shape[1], device=images.device) + 0.5) * (width / shape[1]) - 0.5
    return torch.stack(torch.meshgrid(u, v, indexing="xy"), -1)


def project_to_views(points: Tensor, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Project ego points into every camera, in sums and products that round alike in PyTorch and ONNX Runtime.

    Args:
        points: (M, 3) ego metres.
        inputs: ``images``, ``intrinsics``, ``ego_from_camera`` (a reflection or a scale in it is undone exactly) and
            ``camera_valid``.

    Returns:
        Places (B, V, M, 2) as (x, y), [0, 1] across the image, and (B, V, M) bool, whether the camera is there and
        sees the point. The place of a point behind the camera is outside the image.
    """
    ego_from_camera = inputs["ego_from_camera"]
    camera_from_ego = invert_3x3(ego_from_camera[..., :3, :3])
    # Rows of the transposed product are points moved by the intrinsics: a matrix product would round as it likes.
    image_from_ego = rotate_exactly(inputs["intrinsics"], camera_from_ego.mT).mT  # (B, V, 3, 3)
    moved = points - ego_from_camera[..., None, :3, 3]  # (B, V, M, 3)
    u, v, depth = rotate_exactly(image_from_ego, moved).unbind(-1)
    ahead = depth > NEAR_M
    safe = torch.where(ahead, depth, 1.0)
    height, width = inputs["images"].shape[-2:]
    # Pixel centres lie at whole numbers, so the image begins at -0.5.
    at = torch.stack([(u / safe + 0.5) / width, (v / safe + 0.5) / height], -1)
    at = torch.where(ahead[..., None], at.clamp(*FAR_OUT), FAR_OUT[0])
    inside = ((at >= 0) & (at < 1)).all(-1)
    return at, ahead & inside & inputs["camera_valid"][..., None]


class Sightings(NamedTuple):
    """The K cameras that see each of M places best; a place is a pillar of Z points.

    ``views`` (B, K, M) int64; ``at`` (B, K, M, Z, 2) as (x, y), [0, 1] across that camera's image, beyond it where a
    point is not seen; ``seen`` (B, K, M, Z) bool. Cameras that see nothing of a place fill up to K.
    """

    views: Tensor
    at: Tensor
    seen: Tensor


def find_sightings(pillars: Tensor, inputs: dict[str, Tensor], max_views: int) -> Sightings:
    """Choose the cameras that look at each place: those that see most of its points, nearest to their middle.

    With K cameras gathered per place, what samples the images costs K a place instead of all the V. Where at most K
    cameras overlap, as in surround rigs, the result is that of all cameras.

    Args:
        pillars: (M, Z, 3) ego metres.
        inputs: as :func:`project_to_views` has them.
        max_views: K; fewer where there are fewer cameras.
    """
    places, levels = pillars.shape[:2]
    at, seen = project_to_views(pillars.flatten(0, 1), inputs)
    at, seen = at.unflatten(2, (places, levels)), seen.unflatten(2, (places, levels))
    off_middle = 2 * (at.clamp(0, 1) - 0.5).abs().amax(-1)  # (B, V, M, Z), 1 at the border
    score = (seen * (2 - off_middle)).sum(-1)
    views = score.topk(min(max_views, score.shape[1]), dim=1).indices  # (B, K, M)
    index = views[..., None].expand(-1, -1, -1, levels)
    return Sightings(views, at.gather(1, index[..., None].expand(-1, -1, -1, -1, 2)), seen.gather(1, index))


def stack_atlas(maps: Tensor) -> Tensor:
    """Lay the V maps of (B, V, C, h, w) one below the other, a row of zeros after each: (B, C, V (h + 1), w).

    One 2-D sampling then reads any camera, and a place outside a camera's map reads zeros.
    """
    padded = F.pad(maps, (0, 0, 0, 1))
    return padded.transpose(1, 2).flatten(2, 3)


def atlas_location(views: Tensor, cells: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Places in the atlas of places in single cameras' maps.

    Args:
        views: (...) int64, which camera.
        cells: (..., 2) as (x, y) in cells of its map, whole numbers at cell centres.
        shape: (V, h, w).

    Returns:
        (..., 2) as (x, y), [0, 1] across the atlas; a place outside its camera's map reads zeros there.
    """
    num_views, height, width = shape
    x = cells[..., 0].clamp(-1, width)
    y = cells[..., 1].clamp(-1, height) + views * (height + 1)
    return torch.stack([(x + 0.5) / width, (y + 0.5) / (num_views * (height + 1))], -1)
