"""A pixel goes to the BEV cell that it shows, in every encoder, whatever was done to the ego frame or the rig."""

import numpy as np
import pytest
import torch
from torch import Tensor

from mapstack.geometry.camera import project
from mapstack.geometry.se3 import invert, transform_points
from mapstack.models.camera.encoder import CameraEncoder

from .rig import KINDS, PIXELS, cell_of, make_encoder, make_inputs, make_transparent
from .test_projection import AUGMENTATIONS

every_encoder = pytest.mark.parametrize("kind", KINDS)
GROUND = ((5.25, 0.25), (4.25, 2.75), (-6.25, -1.25), (0.75, -4.25))  # middles of cells: what is looked up


def transparent_encoder(kind: str) -> CameraEncoder:
    # Lift-splat gathers into a cell what falls anywhere in it, so its cells must be small for a place to be sharp.
    sharp = {"cell_m": 0.25, "depth_range_m": (1.0, 9.0, 0.25)} if kind == "lss" else {"heights_m": (0.0,)}
    return make_transparent(make_encoder(kind, PIXELS, **sharp))


def seeing_pixel(inputs: dict[str, Tensor], point: np.ndarray) -> tuple[int, np.ndarray]:
    """Camera that sees an ego point nearest to its middle, and where, in float64 and without our projection."""
    best = None
    for view, (pose, intrinsics) in enumerate(zip(inputs["ego_from_camera"][0], inputs["intrinsics"][0], strict=True)):
        camera = transform_points(invert(pose.double().numpy()), point[None])
        pixel, depth = project(camera, intrinsics.double().numpy())
        distance = np.abs(pixel[0] - [47.5, 31.5]).max()
        if depth[0] > 0.1 and (best is None or distance < best[0]):
            best = distance, view, pixel[0]
    return best[1], best[2]


def flat_inputs(augmentation: str) -> dict[str, Tensor]:
    inputs = make_inputs()
    inputs["images"] = 10 + torch.rand(inputs["images"].shape, generator=torch.Generator().manual_seed(0))
    inputs["ego_from_camera"] = torch.from_numpy(AUGMENTATIONS[augmentation]).float() @ inputs["ego_from_camera"]
    return inputs


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
@every_encoder
def test_a_cell_depends_most_on_the_pixel_that_shows_it(kind: str, augmentation: str) -> None:
    encoder, inputs = transparent_encoder(kind), flat_inputs(augmentation)
    inputs["images"].requires_grad_()
    bev = encoder(inputs)[0]
    weights = torch.randn(bev.shape[1], generator=torch.Generator().manual_seed(1))
    for point in GROUND:
        row, col = cell_of(encoder, point)
        middle = np.append(encoder.grid.centers()[row, col], 0.0)
        view, pixel = seeing_pixel(inputs, middle)
        (grad,) = torch.autograd.grad((bev[0, :, row, col] * weights).sum(), inputs["images"], retain_graph=True)
        strength = grad[0].abs().sum(1)
        found = np.unravel_index(int(strength.argmax()), strength.shape)
        assert found[0] == view, point
        assert abs(found[2] - pixel[0]) <= 2 and abs(found[1] - pixel[1]) <= 2, (point, found, pixel)


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
@every_encoder
def test_a_painted_point_lands_in_its_cell(kind: str, augmentation: str) -> None:
    encoder, inputs = transparent_encoder(kind), flat_inputs(augmentation)
    inputs["images"] = torch.full_like(inputs["images"], 10.0)
    with torch.no_grad():
        plain = encoder(inputs)[0]
        for point in GROUND:
            view, pixel = seeing_pixel(inputs, np.append(point, 0.0))
            u, v = pixel.round().astype(int)
            painted = inputs["images"].clone()
            painted[0, view, 0, v, u] += 20
            change = (encoder({**inputs, "images": painted})[0] - plain)[0].abs().sum(0)
            cells = torch.nonzero(change > 0.5 * change.max()).double()  # several: kernels are wider than a pixel
            assert 1 <= len(cells) <= 9 and cells.std(0, correction=0).max() < 1.5, point
            assert (cells.mean(0) - torch.tensor(cell_of(encoder, point))).abs().max() <= 1, point


@every_encoder
def test_places_stay_exact_under_autocast(kind: str) -> None:
    """bfloat16 has eight bits: pixels or cells computed in it would be off by several."""
    encoder, inputs = transparent_encoder(kind), flat_inputs("none")
    inputs["images"] = torch.full_like(inputs["images"], 10.0)
    point = GROUND[2]
    view, pixel = seeing_pixel(inputs, np.append(point, 0.0))
    u, v = pixel.round().astype(int)
    painted = inputs["images"].clone()
    painted[0, view, :, v, u] += 100
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        change = encoder({**inputs, "images": painted})[0].float() - encoder(inputs)[0].float()
    found = np.unravel_index(int(change[0].abs().sum(0).argmax()), change.shape[2:])
    assert np.abs(np.subtract(found, cell_of(encoder, point))).max() <= 1


@every_encoder
def test_an_absent_camera_changes_nothing(kind: str) -> None:
    """Marked absent is the same as not there at all, whatever its pixels and its calibration say."""
    encoder = make_encoder(kind)
    inputs = make_inputs(2)
    without = {name: torch.cat([value[:, :1], value[:, 2:]], 1) for name, value in inputs.items()}
    inputs["camera_valid"][:, 1] = False
    inputs["images"][:, 1] = 50.0
    with torch.no_grad():
        marked, missing = encoder(inputs)[0], encoder(without)[0]
        torch.testing.assert_close(marked, missing, rtol=1e-4, atol=1e-5)
        inputs["camera_valid"][:, 1] = True
        assert not torch.allclose(encoder(inputs)[0], missing, atol=1e-2)


@every_encoder
def test_with_every_camera_absent_the_images_do_not_count(kind: str) -> None:
    encoder, inputs = make_encoder(kind), make_inputs(1)
    inputs["camera_valid"][:] = False
    with torch.no_grad():
        first = encoder(inputs)[0]
        second = encoder({**inputs, "images": -inputs["images"]})[0]
    assert torch.equal(first, second) and torch.isfinite(first).all()


@every_encoder
def test_frames_do_not_mix(kind: str) -> None:
    encoder, inputs = make_encoder(kind), make_inputs(3)
    inputs["ego_from_camera"][1, :, 0, 3] += 2.0
    with torch.no_grad():
        together = encoder(inputs)[0]
        for i in range(3):
            alone = encoder({name: value[i : i + 1] for name, value in inputs.items()})[0]
            torch.testing.assert_close(alone[0], together[i], rtol=1e-4, atol=1e-5)
