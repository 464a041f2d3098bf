"""The real nuScenes keyframe: encoders look for the corners of its real map where the devkit projects them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pyquaternion import Quaternion

from mapstack.maps import MapPatch
from mapstack.models.camera.projection import project_to_views
from mapstack.visualization.corners import corner_errors_px, draw_corners
from tests.visualization.conftest import Keyframe, keyframe, real_patch  # noqa: F401  fixtures

from .rig import KINDS, PIXELS, make_encoder, make_transparent

WINDOW = (96, 128)  # (H, W) cut out of the raw image, at its full resolution


def corners_of(patch: MapPatch) -> NDArray:
    """(N, 3) ego metres, the vertices of the map on the ground."""
    return np.unique(np.concatenate([np.insert(line[:, :2], 2, 0.0, axis=1) for line in patch.vertices]), axis=0)


def camera_inputs(keyframe: Keyframe) -> dict[str, torch.Tensor]:  # noqa: F811
    views = keyframe.views
    return {
        "images": torch.zeros(1, len(views), 3, 900, 1600),
        "intrinsics": torch.from_numpy(np.stack([view.intrinsics for view in views])[None]).float(),
        "ego_from_camera": torch.from_numpy(np.stack([view.ego_from_camera for view in views])[None]).float(),
        "camera_valid": torch.ones(1, len(views), dtype=torch.bool),
    }


def test_corners_of_the_real_map_are_where_the_devkit_projects_them(
    shared: Path,
    keyframe: Keyframe,  # noqa: F811
    real_patch: MapPatch,  # noqa: F811
) -> None:
    from nuscenes import NuScenes
    from nuscenes.utils.geometry_utils import view_points

    nusc = NuScenes("v1.0-mini", str(shared / "data/nuscenes_keyframe"), verbose=False)
    corners = corners_of(real_patch)
    at, seen = project_to_views(torch.from_numpy(corners).float(), camera_inputs(keyframe))
    # The patch is gravity-aligned with the ego's height: into the world through the same frame that it was cut in.
    world = (keyframe.world_from_ego @ np.insert(corners, 3, 1.0, axis=1).T)[:3]
    total = 0
    for i, view in enumerate(keyframe.views):
        data = nusc.get("sample_data", nusc.sample[0]["data"][view.name])
        points = world
        for table in ("ego_pose", "calibrated_sensor"):  # the camera's own pose: 0.3 m from the LiDAR's
            row = nusc.get(table, data[f"{table}_token"])
            points = Quaternion(row["rotation"]).rotation_matrix.T @ (points - np.array(row["translation"])[:, None])
        pixels = view_points(points, view.intrinsics, normalize=True)[:2].T
        inside = (points[2] > 0.1) & (pixels >= 0).all(1) & (pixels <= [1599, 899]).all(1)
        places = at[0, i].numpy() * [1600, 900] - 0.5
        assert seen[0, i].numpy()[inside].all(), view.name
        assert np.linalg.norm(places[inside] - pixels[inside], axis=1).max(initial=0) < 0.1, view.name
        errors = corner_errors_px(view, corners, places, seen[0, i].numpy())
        assert errors.max(initial=0) < 0.1 and len(errors) >= inside.sum()
        drawn = draw_corners(view, corners, places, seen[0, i].numpy())
        assert (drawn != view.image).any() == bool(len(errors))
        total += int(inside.sum())
    assert total > 15


@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_at_a_real_corner_depends_on_the_pixels_of_that_corner(
    kind: str,
    keyframe: Keyframe,  # noqa: F811
    real_patch: MapPatch,  # noqa: F811
) -> None:
    """At the full 1600 x 900 pixels, through each encoder: the middle of what a cell reads is within 2 px."""
    front = next(i for i, view in enumerate(keyframe.views) if view.name == "CAM_FRONT")
    view, inputs = (
        keyframe.views[front],
        {key: value[:, front : front + 1] for key, value in camera_inputs(keyframe).items()},
    )
    corners = corners_of(real_patch)
    at, seen = project_to_views(torch.from_numpy(corners).float(), inputs)
    pixels = at[0, 0].numpy() * [1600, 900] - 0.5
    roomy = (np.abs(pixels - [800, 450]) < [800 - WINDOW[1], 450 - WINDOW[0]]).all(1)
    near = np.flatnonzero(seen[0, 0].numpy() & roomy & (corners[:, 0] < 25))
    assert len(near) >= 3
    for i in near[np.linspace(0, len(near) - 1, 3).astype(int)]:
        left, top = np.round(pixels[i]).astype(int) - [WINDOW[1] // 2, WINDOW[0] // 2]
        crop = view.image[top : top + WINDOW[0], left : left + WINDOW[1]]
        images = torch.from_numpy(crop.copy()).permute(2, 0, 1)[None, None].float() / 25 + 1
        intrinsics = inputs["intrinsics"] - torch.tensor([[0, 0, float(left)], [0, 0, float(top)], [0, 0, 0]])
        offset = torch.from_numpy(corners[i]).float() - inputs["ego_from_camera"][0, 0, :3, 3]
        depth = float(inputs["ego_from_camera"][0, 0, :3, 2] @ offset)
        row_m = 1.2 * depth**2 / (1266 * 1.5)  # of ground that a row of pixels shows, and a little more
        x, y = corners[i, :2]
        grid = {
            "pc_range": (x - 1.5 * row_m, y - 1.5 * row_m, -5, x + 1.5 * row_m, y + 1.5 * row_m, 3),
            "cell_m": row_m,
        }
        options = {"grid": grid, "cell_m": row_m}
        if kind == "lss":
            options |= {"depth_range_m": (depth - 20 * row_m, depth + 20 * row_m, row_m)}
        else:
            options |= {"heights_m": (0.0,)}
        encoder = make_transparent(make_encoder(kind, PIXELS, **options))
        images.requires_grad_()
        bev = encoder({**inputs, "images": images, "intrinsics": intrinsics})[0]
        assert bev.shape[2:] == (3, 3)
        (grad,) = torch.autograd.grad((bev[0, :, 1, 1] * torch.linspace(-1, 2, 8)).sum(), images)
        strength = grad[0, 0].abs().sum(0)
        strength = strength * (strength > strength.max() / 2)  # lift-splat: a little also from what may stand there
        v, u = (strength.sum(1 - axis) @ torch.arange(float(WINDOW[axis])) / strength.sum() for axis in (0, 1))
        assert np.linalg.norm([float(u) + left, float(v) + top] - pixels[i]) < 2, (kind, corners[i])
