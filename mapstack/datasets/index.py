"""The index: one Parquet file per dataset and split, a row a frame, safe to open and quick to slice.

Columns are typed and nested (no JSON, no pickle). The version, the data set's name and the folder that the paths are
relative to stand in the Parquet schema metadata.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mapstack.errors import DataError, IndexVersionError

__all__ = ["INDEX_VERSION", "Index", "link_frames", "read_index", "write_index"]

INDEX_VERSION = 1

# Not of fixed size, which Parquet cannot read back inside a struct that is null (a frame without LiDAR).
MATRIX = pa.list_(pa.float64())
CAMERA = pa.struct(
    [
        ("name", pa.string()),
        ("path", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("timestamp_ns", pa.int64()),
        ("intrinsics", MATRIX),
        ("ego_from_camera", MATRIX),
    ]
)
SWEEP = pa.struct([("path", pa.string()), ("time_lag_s", pa.float64()), ("ego_from_sweep", MATRIX)])
LIDAR = pa.struct(
    [
        ("path", pa.string()),
        ("num_columns", pa.int32()),
        ("intensity_max", pa.float64()),
        ("ego_from_lidar", MATRIX),
        ("sweeps", pa.list_(SWEEP)),
    ]
)
SCHEMA = pa.schema(
    [
        ("token", pa.string()),
        ("scene", pa.string()),
        ("timestamp_ns", pa.int64()),
        ("location", pa.string()),
        ("split", pa.string()),
        ("prev", pa.string()),
        ("next", pa.string()),
        ("world_from_ego", MATRIX),
        ("cameras", pa.list_(CAMERA)),
        ("lidar", LIDAR),
        ("map_kind", pa.string()),
        ("map_root", pa.string()),
        ("map_name", pa.string()),
    ]
)
MATRIX_SHAPES = {
    "world_from_ego": (4, 4),
    "intrinsics": (3, 3),
    "ego_from_camera": (4, 4),
    "ego_from_lidar": (4, 4),
    "ego_from_sweep": (4, 4),
}


@dataclass(frozen=True)
class Index:
    """An index in memory, held as Arrow columns: workers share it and a frame is decoded when it is asked for.

    Args:
        path: the file it came from.
        table: a row a frame, columns as ``SCHEMA``.
        dataset: "nuscenes", "argoverse2" or "recording".
        data_root: absolute folder that the paths in the rows are relative to.
    """

    path: Path
    table: pa.Table
    dataset: str
    data_root: Path

    def __len__(self) -> int:
        return self.table.num_rows

    def column(self, name: str) -> list:
        """All rows of one column as Python values."""
        return self.table.column(name).to_pylist()

    def positions(self) -> np.ndarray:
        """(N, 3) world metres, the ego origin of every frame."""
        flat = self.table.column("world_from_ego").combine_chunks().flatten().to_numpy()
        return flat.reshape(-1, 4, 4)[:, :3, 3].copy()

    def frame(self, row: int) -> dict:
        """One frame as a dict: keys as the columns, matrices as float64 arrays, paths relative."""
        return _with_arrays(self.table.slice(row, 1).to_pylist()[0])


def read_index(path: str | os.PathLike, data_root: str | os.PathLike | None = None) -> Index:
    """Open an index.

    Args:
        path: the Parquet file.
        data_root: folder that the paths in it are relative to, where it is not the one that the index names.

    Raises:
        DataError: there is no such file, or it is not an index.
        IndexVersionError: another version of the preparation tools wrote it.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f"no index at {path}; write one with tools/prepare_nuscenes.py, tools/prepare_argoverse2.py or "
            f"tools/make_town.py"
        )
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is not a readable Parquet file ({error}); prepare the index again") from error
    metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    version = metadata.get("mapstack_index_version")
    if version is None:
        raise DataError(f"{path} is a Parquet file but no mapstack index; see data/README.md")
    if version != str(INDEX_VERSION):
        command = metadata.get("mapstack_command", "tools/prepare_nuscenes.py or tools/prepare_argoverse2.py")
        raise IndexVersionError(
            f"{path} has index version {version}, this code reads {INDEX_VERSION}; write it again with: {command}"
        )
    root = Path(data_root) if data_root is not None else path.resolve().parent / metadata["mapstack_data_root"]
    return Index(path, table.combine_chunks(), metadata["mapstack_dataset"], root.resolve())


def write_index(
    path: str | os.PathLike, frames: Iterable[dict], *, dataset: str, data_root: str | os.PathLike, command: str = ""
) -> None:
    """Write an index so that a killed process never leaves half a file.

    Args:
        path: the Parquet file; its folder is made.
        frames: dicts with the columns of ``SCHEMA``; matrices as arrays; paths relative to ``data_root``.
        dataset: "nuscenes", "argoverse2" or "recording".
        data_root: stored relative to the index's folder, so that both can be moved together.
        command: what writes it again, for the error that meets another version of this code.

    Raises:
        DataError: a token stands twice.
    """
    path = Path(path)
    rows = [_with_lists(frame) for frame in frames]
    tokens = [row["token"] for row in rows]
    if len(set(tokens)) < len(tokens):
        twice = next(token for token in tokens if tokens.count(token) > 1)
        raise DataError(f"token {twice} stands twice in the frames for {path}; list every scene once")
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {
        "mapstack_index_version": str(INDEX_VERSION),
        "mapstack_dataset": dataset,
        "mapstack_data_root": os.path.relpath(Path(data_root).resolve(), path.parent.resolve()),
        "mapstack_command": command,
    }
    if not command:
        del metadata["mapstack_command"]
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA.with_metadata(metadata)), partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def link_frames(frames: list[dict]) -> list[dict]:
    """Sort frames by scene and time, and set ``prev`` and ``next`` to the neighbour in the same scene, or None.

    A frame that was left out leaves its neighbours linked to each other: the time between them is in their timestamps.
    """
    frames = sorted(frames, key=lambda frame: (frame["scene"], frame["timestamp_ns"]))
    for frame in frames:
        frame["prev"] = frame["next"] = None
    for before, after in zip(frames, frames[1:], strict=False):
        if before["scene"] == after["scene"]:
            before["next"], after["prev"] = after["token"], before["token"]
    return frames


def _with_lists(value: object, name: str = "") -> object:
    if isinstance(value, dict):
        return {key: _with_lists(item, key) for key, item in value.items()}
    if name in MATRIX_SHAPES:
        matrix = np.asarray(value, dtype=np.float64)
        if matrix.shape != MATRIX_SHAPES[name]:
            raise DataError(f"{name} must have shape {MATRIX_SHAPES[name]}, got {matrix.shape}")
        return matrix.ravel().tolist()
    return [_with_lists(item) for item in value] if isinstance(value, list) else value


def _with_arrays(value: object, name: str = "") -> object:
    if isinstance(value, dict):
        return {key: _with_arrays(item, key) for key, item in value.items()}
    if name in MATRIX_SHAPES:
        return np.array(value, dtype=np.float64).reshape(MATRIX_SHAPES[name])
    return [_with_arrays(item) for item in value] if isinstance(value, list) else value
