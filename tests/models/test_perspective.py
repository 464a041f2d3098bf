"""The truth drawn into the images lies where the cameras see it."""

import math

import pytest
import torch

from mapstack.errors import ConfigError
from mapstack.models.auxiliary.perspective import perspective_masks
from mapstack.registry import MODELS
from mapstack.structures import MapElements

from .conftest import camera_pose, mapper_config, packed_batch


def line_truth(start: tuple[float, float], stop: tuple[float, float], label: int) -> MapElements:
    share = torch.linspace(0, 1, 20)[:, None]
    points = torch.tensor(start) + share * (torch.tensor(stop) - torch.tensor(start))
    flags = torch.zeros(1, dtype=torch.bool)
    return MapElements(points=points[None], labels=torch.tensor([label]), closed=flags, directed=flags)


def cameras(batch: int = 1) -> dict[str, torch.Tensor]:
    poses = torch.stack([camera_pose(0.0), camera_pose(math.pi)])
    intrinsics = torch.tensor([[80.0, 0, 48], [0, 80, 32], [0, 0, 1]])
    return {
        "images": torch.zeros(batch, 2, 3, 64, 96),
        "intrinsics": intrinsics.expand(batch, 2, 3, 3),
        "ego_from_camera": poses.expand(batch, 2, 4, 4),
        "camera_valid": torch.ones(batch, 2, dtype=torch.bool),
    }


def test_a_line_ahead_is_seen_by_the_front_camera_alone() -> None:
    """At 8 m, 1.5 m below the camera: row 32 + 80 * 1.5 / 8 = 47, columns 48 -+ 80 * 2 / 8."""
    mask = perspective_masks([line_truth((8.0, 2.0), (8.0, -2.0), 1)], cameras(), (64, 96), 3)
    assert not mask[0, 1].any() and not mask[0, 0, [0, 2]].any()
    rows, cols = mask[0, 0, 1].nonzero(as_tuple=True)
    assert rows.unique().tolist() == [47]
    assert cols.min() == 28 and cols.max() == 68
    coarse = perspective_masks([line_truth((8.0, 2.0), (8.0, -2.0), 1)], cameras(), (8, 12), 3)
    assert coarse[0, 0, 1].nonzero().tolist() == [[5, col] for col in range(3, 9)]


def test_heights_absent_cameras_and_mirrored_frames_count() -> None:
    truth = line_truth((8.0, 2.0), (8.0, 0.5), 0)
    inputs = cameras()
    raised = MapElements(
        torch.cat([truth.points, torch.full((1, 20, 1), 1.5)], -1),
        truth.labels,
        closed=truth.closed,
        directed=truth.closed,
    )
    assert perspective_masks([raised], inputs, (64, 96), 3)[0, 0, 0].nonzero()[:, 0].unique().tolist() == [32]
    plain = perspective_masks([truth], inputs, (64, 96), 3)
    mirror = torch.diag(torch.tensor([1.0, -1, 1, 1]))  # BEV augmentation mirrors map and poses, not images
    inputs["ego_from_camera"] = mirror @ inputs["ego_from_camera"]
    mirrored = line_truth((8.0, -2.0), (8.0, -0.5), 0)
    assert torch.equal(perspective_masks([mirrored], inputs, (64, 96), 3), plain)
    inputs["camera_valid"] = torch.zeros(1, 2, dtype=torch.bool)
    assert not perspective_masks([mirrored], inputs, (64, 96), 3).any()


def test_the_mapper_learns_from_it() -> None:
    head = {"type": "PerspectiveSegmentation", "image_channels": 16}
    model = MODELS.build(mapper_config(lidar=False) | {"perspective": head})
    batch = model.data_preprocessor(packed_batch(lidar=False), True)
    loss = model(**batch, mode="loss")["loss_perspective"]
    loss.backward()
    assert loss > 0 and all(value.grad.abs().sum() > 0 for value in model.perspective.parameters())
    with pytest.raises(ConfigError, match="perspective"):
        MODELS.build(mapper_config(camera=False) | {"perspective": head})
