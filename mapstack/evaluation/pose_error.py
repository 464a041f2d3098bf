"""How far an estimated pose is from the true one."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["pose_errors", "summarize_pose_errors"]


def pose_errors(predicted: NDArray, true: NDArray) -> tuple[NDArray, NDArray]:
    """Distance of the origins and angle between the axes.

    Args:
        predicted: (N, 4, 4) world_from_body.
        true: (N, 4, 4) world_from_body.

    Returns:
        (N,) metres and (N,) radians in [0, pi].
    """
    if predicted.shape != true.shape or predicted.shape[1:] != (4, 4):
        raise ValueError(f"poses must both be (N, 4, 4), got {predicted.shape} and {true.shape}")
    between = true[:, :3, :3].swapaxes(1, 2) @ predicted[:, :3, :3]
    skew = between - between.swapaxes(1, 2)
    sine = np.linalg.norm(np.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], 1), axis=1) / 2
    cosine = (np.trace(between, axis1=1, axis2=2) - 1) / 2
    return np.linalg.norm(predicted[:, :3, 3] - true[:, :3, 3], axis=1), np.arctan2(sine, cosine)


def summarize_pose_errors(predicted: NDArray, true: NDArray) -> dict[str, float]:
    """``translation_m`` and ``rotation_deg``, medians as the field reports them, and their means."""
    translation, rotation = pose_errors(predicted, true)
    rotation = np.degrees(rotation)
    return {
        "translation_m": float(np.median(translation)),
        "rotation_deg": float(np.median(rotation)),
        "mean_translation_m": float(translation.mean()),
        "mean_rotation_deg": float(rotation.mean()),
    }
