"""Image augmentation that keeps the intrinsics true."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mapstack.errors import ConfigError
from mapstack.registry import TRANSFORMS

from .randomness import frame_generator

__all__ = ["PhotometricJitter", "ResizeCropImages"]

SHRINKS_MUCH = 0.7  # below this factor, area averaging is needed against aliasing


@TRANSFORMS.register_module()
class ResizeCropImages:
    """Bring every image to one size: scale to cover it, cut, perhaps mirror and turn; intrinsics follow exactly.

    Without random options: the smallest scale that covers ``size``, cut in the middle across and at the bottom (the
    sky goes first). Adds ``raw_from_image`` (V, 3, 3), pixels of the file from pixels of the result.

    Args:
        size: (H, W) of the result.
        scale: (low, high) of a random factor on the covering scale; below 1 the border is black.
        shift: how much of the slack across may move the cut: 0 keeps the middle, 1 uses all of it.
        flip_prob: chance of mirroring an image; its intrinsics then have a negative focal length.
        rotate_deg: the image is turned by up to this about its middle.
        keep_bottom: 1 cuts from the top alone, 0.5 keeps the middle.
    """

    def __init__(
        self,
        size: tuple[int, int],
        scale: tuple[float, float] = (1.0, 1.0),
        shift: float = 0.0,
        flip_prob: float = 0.0,
        rotate_deg: float = 0.0,
        keep_bottom: float = 1.0,
    ) -> None:
        if not 0 < scale[0] <= scale[1]:
            raise ConfigError(f"scale must be (low, high) with 0 < low <= high, got {scale}")
        self.size = tuple(size)
        self.scale, self.shift, self.flip_prob = scale, shift, flip_prob
        self.rotate_deg, self.keep_bottom = rotate_deg, keep_bottom

    def __call__(self, results: dict) -> dict:
        """Resize every image and update ``intrinsics``."""
        generator = frame_generator(results, self)
        raw_from_image = np.empty((len(results["images"]), 3, 3))
        images = []
        for view, image in enumerate(results["images"]):
            image_from_raw = self._draw(image.shape[:2], generator)
            images.append(warp(image, image_from_raw, self.size))
            results["intrinsics"][view] = image_from_raw @ results["intrinsics"][view]
            raw_from_image[view] = np.linalg.inv(image_from_raw)
        results["images"] = images
        results["raw_from_image"] = raw_from_image
        return results

    def _draw(self, raw_size: tuple[int, int], generator: np.random.Generator) -> NDArray:
        """(3, 3) affine image_from_raw, pixel centres at whole coordinates."""
        height, width = self.size
        random_scale, shift, flip, angle = generator.uniform(
            (self.scale[0], -self.shift, 0.0, -self.rotate_deg), (self.scale[1], self.shift, 1.0, self.rotate_deg)
        )
        factor = max(height / raw_size[0], width / raw_size[1]) * random_scale
        slack_x, slack_y = raw_size[1] * factor - width, raw_size[0] * factor - height
        # A cut on whole pixels keeps the fast path, which resizes and copies.
        left, top = round((0.5 + 0.5 * shift) * slack_x), round(self.keep_bottom * slack_y)
        half = 0.5 * factor - 0.5
        affine = np.array([[factor, 0.0, half - left], [0.0, factor, half - top], [0.0, 0.0, 1.0]])
        if flip < self.flip_prob:
            affine = np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]) @ affine
        if self.rotate_deg:
            middle = ((width - 1) / 2, (height - 1) / 2)
            affine = np.vstack([cv2.getRotationMatrix2D(middle, angle, 1.0), [0.0, 0.0, 1.0]]) @ affine
        return affine


def warp(image: NDArray, image_from_raw: NDArray, size: tuple[int, int]) -> NDArray:
    """Resample (h, w, 3) uint8 by an affine ``image_from_raw`` (3, 3) to ``size`` (H, W); black outside the source.

    Nothing is done to an image that already fits. Shrinking averages over the area first, as a warp would alias.
    """
    if image.shape[:2] == tuple(size) and np.array_equal(image_from_raw, np.eye(3)):
        return image
    factor = float(np.sqrt(abs(np.linalg.det(image_from_raw[:2, :2]))))
    if factor < SHRINKS_MUCH:
        small_size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
        ratio = np.array(small_size) / image.shape[1::-1]
        small_from_raw = np.array([[ratio[0], 0, 0.5 * ratio[0] - 0.5], [0, ratio[1], 0.5 * ratio[1] - 0.5], [0, 0, 1]])
        image = cv2.resize(image, small_size, interpolation=cv2.INTER_AREA)
        image_from_raw = image_from_raw @ np.linalg.inv(small_from_raw)
    return cv2.warpAffine(image, image_from_raw[:2], (size[1], size[0]), flags=cv2.INTER_LINEAR)


@TRANSFORMS.register_module()
class PhotometricJitter:
    """Random brightness, contrast and saturation, the same for all cameras of a frame.

    Args:
        brightness: offset drawn from [-brightness, brightness] of the full range.
        contrast: factor drawn from [1 - contrast, 1 + contrast], about the middle grey.
        saturation: factor drawn from [1 - saturation, 1 + saturation].
        prob: chance that a frame is changed at all.
    """

    def __init__(
        self, brightness: float = 0.125, contrast: float = 0.3, saturation: float = 0.3, prob: float = 0.5
    ) -> None:
        self.brightness, self.contrast, self.saturation, self.prob = brightness, contrast, saturation, prob

    def __call__(self, results: dict) -> dict:
        """Change the images; calibration is untouched."""
        generator = frame_generator(results, self)
        chance, brightness, contrast, saturation = generator.uniform(
            (0.0, -self.brightness, 1 - self.contrast, 1 - self.saturation),
            (1.0, self.brightness, 1 + self.contrast, 1 + self.saturation),
        )
        if chance < self.prob:
            # One 3x4 matrix does all three: saturation mixes each channel with the grey of the pixel.
            grey = np.tile([0.299, 0.587, 0.114], (3, 1))
            linear = contrast * (saturation * np.eye(3) + (1 - saturation) * grey)
            offset = 127.5 * (1 - contrast) + 255.0 * brightness
            colour = np.hstack([linear, np.full((3, 1), offset)])
            results["images"] = [cv2.transform(image, colour) for image in results["images"]]
        return results
