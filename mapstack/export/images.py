"""Raw camera images to what the model takes, in NumPy: the same bits that OpenCV gives in the training pipeline."""

from functools import lru_cache
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from mapstack.errors import DataError

__all__ = ["RESIZERS", "choose_resizer", "image_from_raw", "pixel_table", "warp"]

RESIZERS = ("auto", "opencv", "numpy")
SHRINKS_MUCH = 0.7  # below this factor the area is averaged first, as in ResizeCropImages
SLIVER = 1e-3  # a share of a pixel that OpenCV does not count
SUBPIXEL = 32  # OpenCV's warp reads at whole 32nds of a pixel
FIXED = 1024  # and computes places in 1024ths


def choose_resizer(name: str) -> str:
    """Resolve "auto": OpenCV where it is installed, which is five times faster than NumPy at the same result.

    Raises:
        DataError: ``name`` is none of ``RESIZERS``, or OpenCV was named and is not installed.
    """
    if name not in RESIZERS:
        raise DataError(f"resizer must be one of {RESIZERS}, got {name!r}")
    installed = find_spec("cv2") is not None
    if name == "opencv" and not installed:
        raise DataError("resizer='opencv' needs OpenCV: pip install opencv-python-headless, or choose 'numpy'")
    return name if name != "auto" else ("opencv" if installed else "numpy")


def image_from_raw(raw_size: tuple[int, int], size: tuple[int, int], keep_bottom: float) -> NDArray:
    """(3, 3) float64 affine from pixels of a raw image to those of the model's, both (H, W); see ResizeCropImages."""
    height, width = size
    factor = max(height / raw_size[0], width / raw_size[1])
    left, top = round(0.5 * (raw_size[1] * factor - width)), round(keep_bottom * (raw_size[0] * factor - height))
    half = 0.5 * factor - 0.5
    return np.array([[factor, 0.0, half - left], [0.0, factor, half - top], [0.0, 0.0, 1.0]])


def warp(image: NDArray, affine: NDArray, size: tuple[int, int], resizer: str) -> NDArray:
    """Resample (h, w, 3) uint8 by a scale and a shift.

    Args:
        image: any size.
        affine: (3, 3) image_from_raw, without a rotation.
        size: (H, W) of the result; black where the source does not reach.
        resizer: "opencv" or "numpy".
    """
    if image.shape[:2] == tuple(size) and np.array_equal(affine, np.eye(3)):
        return image
    factor = float(np.sqrt(abs(np.linalg.det(affine[:2, :2]))))
    resize, move = (_area_opencv, _warp_opencv) if resizer == "opencv" else (_area_numpy, _warp_numpy)
    if factor < SHRINKS_MUCH:
        small_size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
        ratio = np.array(small_size) / image.shape[1::-1]
        small_from_raw = np.array([[ratio[0], 0, 0.5 * ratio[0] - 0.5], [0, ratio[1], 0.5 * ratio[1] - 0.5], [0, 0, 1]])
        image = resize(image, small_size)
        affine = affine @ np.linalg.inv(small_from_raw)
    return move(image, affine, size)


def pixel_table(mean: tuple[float, ...], std: tuple[float, ...]) -> NDArray:
    """(3, 256) float32: what each channel's values become, in the preprocessor's own arithmetic."""
    values = np.arange(256, dtype=np.float32)
    return (values - np.array(mean, np.float32)[:, None]) / np.array(std, np.float32)[:, None]


def _area_opencv(image: NDArray, size: tuple[int, int]) -> NDArray:
    import cv2

    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _warp_opencv(image: NDArray, affine: NDArray, size: tuple[int, int]) -> NDArray:
    import cv2

    return cv2.warpAffine(image, affine[:2], (size[1], size[0]), flags=cv2.INTER_LINEAR)


@lru_cache(maxsize=32)
def _taps(source: int, target: int) -> list[tuple[NDArray, NDArray]]:
    """What an averaging resize from ``source`` to ``target`` pixels sums, in OpenCV's order: (target,) places, weights.

    First the part of a pixel on the left, then the whole ones, then the part on the right.
    """
    scale = source / target
    start = np.arange(target) * scale
    end, width = start + scale, np.minimum(scale, source - start)
    last = np.minimum(np.floor(end).astype(int), source - 1)
    first = np.minimum(np.ceil(start).astype(int), last)
    places = np.zeros((int((last - first).max()) + 2, target), int)
    weights = np.zeros(places.shape, np.float32)
    filled, columns = np.zeros(target, int), np.arange(target)

    def add(which: NDArray, at: NDArray, share: NDArray) -> None:
        places[filled[which], columns[which]] = at[which]
        weights[filled[which], columns[which]] = share[which]
        filled[which] += 1

    add(first - start > SLIVER, first - 1, (first - start) / width)
    for step in range(int((last - first).max())):
        add(first + step < last, first + step, 1 / width)
    add(end - last > SLIVER, last, np.minimum(np.minimum(end - last, 1.0), width) / width)
    return list(zip(places[: filled.max()], weights[: filled.max()], strict=True))


def _shrink_rows(rows: NDArray, target: int) -> NDArray:
    """Average (n, C) rows down to (target, C) float32."""
    total = np.zeros((target, rows.shape[1]), np.float32)
    for places, weights in _taps(rows.shape[0], target):
        total += rows[places] * weights[:, None]
    return total


def _area_numpy(image: NDArray, size: tuple[int, int]) -> NDArray:
    height, width = image.shape[:2]
    if width % size[0] == 0 and height % size[1] == 0:  # whole pixels: OpenCV sums them as integers
        blocks = image.reshape(size[1], height // size[1], size[0], width // size[0], 3)
        total = blocks.sum((1, 3), dtype=np.int64)
        share = np.float32(1.0 / (blocks.shape[1] * blocks.shape[3]))
        if blocks.shape[1] == blocks.shape[3] == 2:
            return ((total + 2) >> 2).astype(np.uint8)
        return np.rint(total.astype(np.float32) * share).astype(np.uint8)
    # Across first, as OpenCV does; with columns as rows, where gathering is quick.
    columns = np.ascontiguousarray(image.transpose(1, 0, 2)).reshape(width, -1)
    across = _shrink_rows(columns, size[0]).reshape(size[0], height, 3)
    rows = np.ascontiguousarray(across.transpose(1, 0, 2)).reshape(height, -1)
    return np.rint(_shrink_rows(rows, size[1])).astype(np.uint8).reshape(size[1], size[0], 3)


def _neighbours(at: NDArray, source: int) -> list[tuple[NDArray, NDArray]]:
    """Places and weights (in 32nds) of the two source pixels about each of ``at``, which is in 1024ths of a pixel."""
    at = (at.astype(np.int64) + FIXED // SUBPIXEL // 2) // (FIXED // SUBPIXEL)
    whole, part = at // SUBPIXEL, at % SUBPIXEL
    pairs = [(whole, SUBPIXEL - part), (whole + 1, part)]
    return [(np.clip(i, 0, source - 1), (weight * ((i >= 0) & (i < source))).astype(np.int32)) for i, weight in pairs]


def _warp_numpy(image: NDArray, affine: NDArray, size: tuple[int, int]) -> NDArray:
    # The inverse, and what is rounded together, as OpenCV has them: a rounding apart is a 32nd of a pixel.
    share = 1.0 / (affine[0, 0] * affine[1, 1])
    scale_x, scale_y = affine[1, 1] * share, affine[0, 0] * share
    at_x = np.rint(scale_x * np.arange(size[1]) * FIXED) + np.rint(-scale_x * affine[0, 2] * FIXED)
    at_y = np.rint((scale_y * np.arange(size[0]) - scale_y * affine[1, 2]) * FIXED)
    # The products are whole numbers below 2^18, so the order of the sums does not matter.
    rows = sum(image[i].astype(np.int32) * weight[:, None, None] for i, weight in _neighbours(at_y, image.shape[0]))
    total = sum(rows[:, i] * weight[:, None] for i, weight in _neighbours(at_x, image.shape[1]))
    return ((total + SUBPIXEL * SUBPIXEL // 2) // (SUBPIXEL * SUBPIXEL)).astype(np.uint8)
