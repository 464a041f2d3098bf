import cv2
import numpy as np
import pytest

from mapstack.datasets.transforms import PhotometricJitter, ResizeCropImages
from mapstack.datasets.transforms.image import warp
from mapstack.errors import ConfigError

RAW_SIZE = (180, 320)
INTRINSICS = np.array([[250.0, 0, 161.0], [0, 250.0, 88.0], [0, 0, 1]])
BLOBS = np.array([[80.0, 90.0], [200.0, 120.0], [150.0, 70.0]])  # (u, v)
OPTIONS = {
    "test": dict(size=(90, 160)),
    "taller": dict(size=(120, 160)),
    "enlarge": dict(size=(240, 420)),
    "train": dict(size=(96, 160), scale=(0.9, 1.2), shift=0.4),
    "mirror": dict(size=(96, 160), flip_prob=1.0),
    "turn": dict(size=(128, 224), rotate_deg=12.0, scale=(0.9, 1.1)),
    "all": dict(size=(128, 224), rotate_deg=12.0, scale=(0.9, 1.1), shift=0.3, flip_prob=0.5),
}


def blob_image(sigma: float = 4.0) -> np.ndarray:
    """A bright blob of its own colour at each of BLOBS."""
    v, u = np.mgrid[: RAW_SIZE[0], : RAW_SIZE[1]]
    return np.stack([255 * np.exp(-((u - x) ** 2 + (v - y) ** 2) / (2 * sigma**2)) for x, y in BLOBS], axis=-1).astype(
        np.uint8
    )


def blob_centres(image: np.ndarray) -> np.ndarray:
    v, u = np.mgrid[: image.shape[0], : image.shape[1]]
    weights = np.maximum(image.astype(float) - 40.0, 0.0)
    total = weights.sum((0, 1))
    return np.stack([(weights * u[..., None]).sum((0, 1)), (weights * v[..., None]).sum((0, 1))], -1) / total[:, None]


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("seed", [0, 5])
def test_pixels_move_exactly_as_the_intrinsics_say(name: str, seed: int) -> None:
    """Blobs are found where the new intrinsics project the rays of the old ones: to a twentieth of a pixel."""
    results = {"images": [blob_image()], "intrinsics": INTRINSICS[None].copy(), "seed": seed}
    rays = np.hstack([BLOBS, np.ones((3, 1))]) @ np.linalg.inv(INTRINSICS).T
    out = ResizeCropImages(**OPTIONS[name])(results)
    assert out["images"][0].shape == (*OPTIONS[name]["size"], 3) and out["images"][0].dtype == np.uint8
    predicted = rays @ out["intrinsics"][0].T
    np.testing.assert_allclose(blob_centres(out["images"][0]), predicted[:, :2] / predicted[:, 2:], atol=0.05)
    np.testing.assert_allclose(out["raw_from_image"][0] @ out["intrinsics"][0], INTRINSICS, atol=1e-9)


def test_without_random_options_the_sky_is_cut_and_nothing_is_drawn() -> None:
    outs = [
        ResizeCropImages(size=(60, 160))({"images": [blob_image()], "intrinsics": INTRINSICS[None].copy(), "seed": s})
        for s in (0, 1)
    ]
    assert np.array_equal(outs[0]["images"][0], outs[1]["images"][0])
    expected = INTRINSICS.copy()
    expected[:2] *= 0.5
    expected[:2, 2] += [-0.25, -0.25 - 30]
    np.testing.assert_allclose(outs[0]["intrinsics"][0], expected)


def test_an_image_that_fits_is_passed_on_untouched() -> None:
    image = blob_image()
    out = ResizeCropImages(size=RAW_SIZE)({"images": [image], "intrinsics": INTRINSICS[None].copy(), "seed": 0})
    assert out["images"][0] is image
    np.testing.assert_array_equal(out["intrinsics"][0], INTRINSICS)


def test_shrinking_averages_instead_of_skipping_pixels() -> None:
    stripes = np.zeros((200, 200, 3), np.uint8)
    stripes[:, ::2] = 200
    small = warp(stripes, np.array([[0.25, 0, -0.375], [0, 0.25, -0.375], [0, 0, 1]]), (50, 50))
    assert np.abs(small[2:-2, 2:-2].astype(int) - 100).max() <= 2


def test_cameras_are_augmented_each_on_its_own() -> None:
    images = [blob_image(), blob_image()]
    results = {"images": images, "intrinsics": np.stack([INTRINSICS] * 2), "seed": 3}
    out = ResizeCropImages(size=(96, 160), scale=(1.0, 1.3), shift=1.0)(results)
    assert not np.allclose(out["intrinsics"][0], out["intrinsics"][1])


def test_jitter_keeps_grey_grey_and_the_size() -> None:
    grey = np.full((20, 30, 3), 90, np.uint8)
    out = PhotometricJitter(brightness=0.1, contrast=0.2, saturation=0.5, prob=1.0)({"images": [grey], "seed": 1})
    (image,) = out["images"]
    assert image.shape == grey.shape and image.dtype == np.uint8
    assert np.ptp(image) <= 1 and image[0, 0, 0] != 90
    untouched = PhotometricJitter(prob=0.0)({"images": [grey], "seed": 1})["images"][0]
    assert untouched is grey


def test_wrong_scale_is_refused() -> None:
    with pytest.raises(ConfigError, match="scale must be"):
        ResizeCropImages(size=(10, 10), scale=(0.0, 1.0))


def test_cv2_is_told_the_same_convention() -> None:
    """cv2.resize maps pixel centres as the intrinsics update assumes: a ramp keeps its value at the centre."""
    ramp = np.tile(np.arange(0, 160, dtype=np.uint8), (10, 1))
    half = cv2.resize(ramp, (80, 5), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(half[2], (np.arange(80) + 0.5) * 2 - 0.5, atol=0.51)
