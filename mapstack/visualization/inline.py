"""Pictures inside a page: data URIs, and map lines as SVG paths."""

import base64

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["jpeg_uri", "png_uri", "svg_path"]


def _uri(kind: str, picture: NDArray, options: list[int]) -> str:
    bgr = picture[..., ::-1] if picture.ndim == 3 else picture
    done, data = cv2.imencode(f".{kind}", np.ascontiguousarray(bgr), options)
    if not done:
        raise ValueError(f"cannot encode a picture of shape {picture.shape}, {picture.dtype} as {kind}")
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def jpeg_uri(picture: NDArray, quality: int = 82) -> str:
    """Data URI of (H, W, 3) uint8 RGB; for photographs."""
    return _uri("jpeg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])


def png_uri(picture: NDArray) -> str:
    """Data URI of (H, W) or (H, W, 3) uint8; for drawings."""
    return _uri("png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])


def svg_path(polylines: list[NDArray]) -> str:
    """The ``d`` of one SVG path that holds (n, 2) polylines, to a tenth of a unit."""
    parts = []
    for line in polylines:
        numbers = [f"{x:.1f} {y:.1f}" for x, y in np.asarray(line, dtype=float)]
        parts.append("M" + "L".join(numbers))
    return "".join(parts)
