"""From frames to index files, one a part of the split; what the prepare tools share."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from mapstack.datasets.index import write_index
from mapstack.errors import DataError

__all__ = ["write_parts"]


def write_parts(
    frames: list[dict],
    parts: Mapping[str, Collection[str]],
    out: str | os.PathLike,
    *,
    dataset: str,
    data_root: str | os.PathLike,
    command: str = "",
) -> dict[Path, int]:
    """Write ``out/PART.parquet`` for each part.

    Args:
        frames: of all parts, linked.
        parts: scene names by part.
        out: folder.
        dataset: see :func:`write_index`.
        data_root: see :func:`write_index`.
        command: see :func:`write_index`.

    Returns:
        Number of frames by file.

    Raises:
        DataError: a part has no frame.
    """
    written = {}
    for part, scenes in parts.items():
        members = set(scenes)
        chosen = [{**frame, "split": part} for frame in frames if frame["scene"] in members]
        if not chosen:
            raise DataError(f"part {part} of the split has no frame left; see the warnings on broken frames")
        path = Path(out) / f"{part}.parquet"
        write_index(path, chosen, dataset=dataset, data_root=data_root, command=command)
        written[path] = len(chosen)
    return written
