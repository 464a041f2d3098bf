"""Cheap checks of the files that an index names: headers and sizes, no decoding."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image, UnidentifiedImageError

__all__ = ["image_fault", "map_fault", "points_fault"]

JPEG_END = b"\xff\xd9"
TAIL_BYTES = 64  # some cameras append a few bytes after the end marker


def image_fault(path: Path, width: int, height: int) -> str | None:
    """Say what is wrong with an image: header, size, or an end that is cut off; None if sound."""
    try:
        with Image.open(path) as image:
            size = image.size
        if size != (width, height):
            return f"is {size[0]}x{size[1]}, the index says {width}x{height}"
        if path.suffix.lower() in (".jpg", ".jpeg"):
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - TAIL_BYTES))
                if JPEG_END not in file.read():
                    return "is cut off: its end marker is missing"
    except FileNotFoundError:
        return "is missing"
    except (UnidentifiedImageError, OSError) as error:
        return f"has no readable image header ({error})"
    return None


def points_fault(path: Path, num_columns: int) -> str | None:
    """Say what is wrong with a LiDAR file; None if its size or header is sound."""
    try:
        if path.suffix == ".feather":
            missing = {"x", "y", "z", "intensity"} - set(pa.ipc.open_file(path).schema.names)
            return f"lacks the columns {sorted(missing)}" if missing else None
        if path.suffix == ".npy":
            shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
            return None if len(shape) == 2 and shape[1] >= 4 else f"has shape {shape}, needs (M, >= 4)"
        size, row = path.stat().st_size, 4 * num_columns
        return f"is truncated: {size} bytes is no positive multiple of {row}" if size == 0 or size % row else None
    except FileNotFoundError:
        return "is missing"
    except (OSError, ValueError, pa.ArrowInvalid) as error:
        return f"cannot be read ({error})"


def map_fault(kind: str, root: Path, name: str | None) -> str | None:
    """Say what is missing of a map; None if its file is there."""
    if kind == "nuscenes":
        file = root / "maps" / "expansion" / f"{name}.json"
        return None if file.is_file() else f"lacks maps/expansion/{name}.json"
    if kind == "argoverse2":
        return None if any((root / "map").glob("log_map_archive_*.json")) else "lacks map/log_map_archive_*.json"
    return None if root.is_file() else "is missing"
