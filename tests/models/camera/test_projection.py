"""Places in the images, against plain projection in float64, and the atlas, against sampling camera by camera."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mapstack.geometry.camera import project
from mapstack.geometry.se3 import invert, make_transform, rotation_z, transform_points
from mapstack.models.camera.projection import (
    atlas_location,
    feature_pixels,
    find_sightings,
    project_to_views,
    stack_atlas,
)

from .rig import GRID, SIZE, make_encoder, make_inputs

AUGMENTATIONS = {
    "none": np.eye(4),
    "mirrored": np.diag([1.0, -1.0, 1.0, 1.0]),
    "turned and scaled": make_transform(1.1 * np.diag([-1.0, 1.0, 1.0]) @ rotation_z(0.4), np.zeros(3)),
}


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_points_fall_where_plain_projection_puts_them(augmentation: str) -> None:
    inputs = make_inputs(2)
    inputs["intrinsics"][:, 1, 0, 0] *= -1  # a mirrored image
    moved = torch.from_numpy(AUGMENTATIONS[augmentation]).float() @ inputs["ego_from_camera"]
    points = torch.rand(500, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([40.0, 40, 3])
    points = points - torch.tensor([20.0, 20, 1])
    at, seen = project_to_views(points, {**inputs, "ego_from_camera": moved})
    for view in range(4):
        camera = transform_points(invert(moved[1, view].double().numpy()), points.double().numpy())
        pixels, depth = project(camera, inputs["intrinsics"][1, view].double().numpy())
        expected = (depth > 0.1) & (pixels >= -0.5).all(1) & (pixels < np.array([SIZE[1], SIZE[0]]) - 0.5).all(1)
        assert (seen[1, view].numpy() == expected).all() and expected.sum() > 20
        found = at[1, view].numpy() * [SIZE[1], SIZE[0]] - 0.5
        np.testing.assert_allclose(found[expected], pixels[expected], atol=1e-3)
        outside = (at[1, view][~torch.from_numpy(depth > 0.1)] < 0).all()
        assert outside, "a point behind the camera has a place in its image"


def test_feature_cells_and_places_agree() -> None:
    images, shape = torch.zeros(1, 1, 3, 64, 96), torch.Size((8, 12))
    pixels = feature_pixels(images, shape)
    assert pixels[0, 0].tolist() == [3.5, 3.5] and pixels[-1, -1].tolist() == [91.5, 59.5]
    at = (pixels + 0.5) / torch.tensor([96.0, 64.0])
    cells = at * torch.tensor([12.0, 8.0]) - 0.5
    assert torch.equal(cells.round(), cells) and cells[3, 5].tolist() == [5, 3]


def test_the_atlas_reads_each_camera_and_zeros_outside() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 3, 4, 5, 7, generator=generator)
    cells = torch.rand(2, 200, 2, generator=generator) * torch.tensor([14.0, 12.0]) - 3.5
    views = torch.randint(3, (2, 200), generator=generator)
    places = 2 * atlas_location(views, cells, (3, 5, 7)) - 1
    found = F.grid_sample(stack_atlas(maps), places[:, None], align_corners=False)[:, :, 0]
    alone = 2 * (cells + 0.5) / torch.tensor([7.0, 5.0]) - 1
    for view in range(3):
        expected = F.grid_sample(maps[:, view], alone[:, None], align_corners=False)[:, :, 0]
        mask = (views == view)[:, None].expand_as(found)
        torch.testing.assert_close(found[mask], expected[mask], rtol=0, atol=1e-5)
    assert (found == 0).all(1).sum() > 40


def test_two_cameras_a_place_lose_nothing_where_two_overlap() -> None:
    """Inverse perspective mapping with two chosen cameras and with all of them is the same."""
    chosen, every = (make_encoder("ipm", max_views=views) for views in (2, 4))
    every.load_state_dict(chosen.state_dict())
    inputs = make_inputs(2)
    seen = project_to_views(chosen.points.flatten(0, 1), inputs)[1].sum(1)
    assert seen.max() == 2 and (seen == 0).any()
    with torch.no_grad():
        torch.testing.assert_close(chosen(inputs)[0], every(inputs)[0], rtol=1e-5, atol=1e-5)


def test_the_best_placed_cameras_are_chosen() -> None:
    inputs = make_inputs(1, yaws=(0.0, 0.2, 0.4, math.pi))
    ahead = torch.tensor([[[8.0, 0.0, 0.0], [8.0, 0.0, 0.5]]])
    assert find_sightings(ahead, inputs, 2).views.flatten().tolist() == [0, 1]
    inputs["camera_valid"][0, 0] = False
    sightings = find_sightings(ahead, inputs, 2)
    assert sightings.views.flatten().tolist() == [1, 2] and sightings.seen.all()
    nowhere = find_sightings(torch.tensor([[[0.1, 0.0, 9.0]]]), inputs, 9)
    assert nowhere.views.shape[1] == 4 and not nowhere.seen.any()


def test_grids_are_in_metres_of_the_ego_frame() -> None:
    encoder = make_encoder("bevformer")
    x, y = encoder.pillars[:, 0, 0].view(encoder.grid.shape), encoder.pillars[:, 0, 1].view(encoder.grid.shape)
    assert (x.diff(dim=1) == 0.5).all() and (y.diff(dim=0) == 0.5).all()
    assert x[0, 0] == GRID["pc_range"][0] + 0.25 and y[0, 0] == GRID["pc_range"][1] + 0.25
