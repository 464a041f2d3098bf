"""Frames that cannot be used: reported by token, and left out only when that was asked for."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mapstack.errors import DataError
from mapstack.geometry.camera import check_intrinsics

__all__ = ["BrokenFrame", "find_fault", "keep_sound"]

logger = logging.getLogger(__name__)

MAX_LISTED = 10


@dataclass(frozen=True)
class BrokenFrame:
    """A frame that cannot be used, and why."""

    token: str
    reason: str


def find_fault(frame: dict, data_root: Path) -> str | None:
    """Say what is wrong with a frame: a file that is missing or empty, a matrix that is not finite; None if sound."""
    lidar = frame["lidar"] or {"path": None, "sweeps": []}
    paths = [camera["path"] for camera in frame["cameras"]] + [sweep["path"] for sweep in lidar["sweeps"]]
    for path in [lidar["path"], *paths] if lidar["path"] else paths:
        file = data_root / path
        if not file.is_file():
            return f"{file} is missing"
        if file.stat().st_size == 0:
            return f"{file} is empty"
    if not np.isfinite(frame["world_from_ego"]).all():
        return "its ego pose is not finite"
    try:
        for camera in frame["cameras"]:
            check_intrinsics(camera["intrinsics"], camera["name"])
    except ValueError as error:
        return str(error)
    return None


def keep_sound(frames: list[dict], data_root: Path, broken: list[BrokenFrame], skip_broken: bool) -> list[dict]:
    """Return the frames that can be used.

    Args:
        frames: candidates.
        data_root: folder that their paths are relative to.
        broken: frames that could not even be read, added to those found here.
        skip_broken: leave broken frames out, with a warning for each, instead of raising.

    Raises:
        DataError: a frame is broken and ``skip_broken`` is False; names tokens and reasons.
    """
    faults = {frame["token"]: find_fault(frame, data_root) for frame in frames}
    broken = [*broken, *(BrokenFrame(token, reason) for token, reason in faults.items() if reason)]
    if broken and not skip_broken:
        listed = "\n".join(f"  {item.token}: {item.reason}" for item in broken[:MAX_LISTED])
        raise DataError(
            f"{len(broken)} broken frames under {data_root} (the first {min(len(broken), MAX_LISTED)}):\n{listed}\n"
            f"complete the recording, or leave them out with --skip-broken"
        )
    for item in broken:
        logger.warning("left out %s: %s", item.token, item.reason)
    return [frame for frame in frames if not faults[frame["token"]]]
