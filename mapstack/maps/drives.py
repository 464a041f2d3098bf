"""Maps of earlier drives: a folder of tiles that drives write and later drives ask by pose.

Every file belongs to one tile and one drive, and is replaced as a whole, so that any number of processes may write and
read at once without a lock. Nothing of a drive is given to that drive itself, nor to one that ran before it ended.
"""

import json
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from mapstack.errors import DataError

from .drive_merge import AREA_CLASSES, Merged, Observation, merge
from .prior_lines import PriorLines

__all__ = ["DriveMap", "DriveStore"]

FORMAT_VERSION = 1
TILE_M = 100.0
NS_PER_S = 1_000_000_000
KEPT_QUERIES = 64
HEAD, TILES = "store.json", "tiles"


@dataclass(frozen=True)
class DriveMap:
    """What one drive saw.

    Args:
        drive: its name: the scene or log of the index.
        location: as the index has it; worlds of different locations share no coordinates.
        start_ns: time of its first frame.
        end_ns: time of its last frame.
        merged: the elements.
        coverage: the ground that it could see, world metres.
    """

    drive: str
    location: str
    start_ns: int
    end_ns: int
    merged: Merged
    coverage: shapely.Geometry


class DriveStore:
    """A folder of drive maps.

    Args:
        root: made where it is missing.
        create: False raises where there is no store: for readers.

    Raises:
        DataError: the folder is no store, or one of another version.
    """

    def __init__(self, root: str | Path, *, create: bool = False) -> None:
        self.root = Path(root)
        head = self.root / HEAD
        if not head.is_file():
            if not create:
                raise DataError(f"{self.root} is no store of drive maps; build one with tools/build_drive_map.py")
            if self.root.exists() and any(path.name != TILES for path in self.root.iterdir() if path.name[0] != "."):
                raise DataError(f"{self.root} holds something that is no store of drive maps; name an empty folder")
            self.root.mkdir(parents=True, exist_ok=True)
            _replace(head, lambda path: path.write_text(json.dumps({"version": FORMAT_VERSION, "tile_m": TILE_M})))
        try:
            about = json.loads(head.read_text())
        except ValueError as error:
            raise DataError(f"{head} is damaged ({error}); build the store again") from error
        if about.get("version") != FORMAT_VERSION:
            raise DataError(f"{head} has version {about.get('version')}, not {FORMAT_VERSION}; build the store again")
        self._tile_m = float(about["tile_m"])
        self._answers: OrderedDict[tuple, PriorLines] = OrderedDict()

    def write(self, drive: DriveMap) -> int:
        """Write a drive, in place of what it may have written before.

        Returns:
            The number of tiles.
        """
        rows: dict[tuple[int, int], list[int]] = {}
        for number, line in enumerate(drive.merged.lines):
            for tile in self._tiles(shapely.linestrings(line)):
                rows.setdefault(tile, []).append(number)
        for tile in self._tiles(drive.coverage):  # a drive that saw nothing there says so, too
            rows.setdefault(tile, [])
        own = f"{quote(drive.drive, safe='')}.parquet"
        folder = self.root / TILES / quote(drive.location, safe="")
        written = set()
        for (x, y), numbers in rows.items():
            path = folder / f"{x}_{y}" / own
            path.parent.mkdir(parents=True, exist_ok=True)
            table = _table(drive, numbers)
            _replace(path, lambda partial, table=table: pq.write_table(table, partial))
            written.add(path)
        for old in set(folder.glob(f"*/{own}")) - written:
            old.unlink(missing_ok=True)
        return len(rows)

    def drives(self, location: str) -> list[str]:
        """Names of the drives at a location."""
        folder = self.root / TILES / quote(location, safe="")
        return sorted({unquote(path.stem) for path in folder.glob("*/*.parquet")})

    def query(
        self,
        location: str,
        box: shapely.Geometry,
        *,
        drive: str,
        timestamp_ns: int,
        min_gap_s: float = 60.0,
        reach_m: float = 1.5,
    ) -> PriorLines | None:
        """What earlier drives saw of a place, merged.

        Args:
            location: of the frame.
            box: the ground that is asked about, world metres; elements that reach into its tiles are given whole.
            drive: that asks: nothing of it is given.
            timestamp_ns: of the frame: only drives that had ended by then are given.
            min_gap_s: and had ended so long before. nuScenes cuts one recording into scenes that follow each other.
            reach_m: lines of one class closer than this and parallel are the same.

        Returns:
            None where no earlier drive was.
        """
        files = [path for tile in self._tiles(box) for path in self._files(location, tile)]
        found = [row for path in files if (row := _cached(path)) is not None]
        stamps, parts = [stamp for stamp, _ in found], [part for _, part in found]
        latest = timestamp_ns - int(min_gap_s * NS_PER_S)
        chosen = [i for i, part in enumerate(parts) if part.drive != drive and part.end_ns <= latest]
        if not chosen:
            return None
        key = (tuple(stamps[i] for i in chosen), reach_m)  # a file that was replaced has another stamp
        if key not in self._answers:
            self._answers[key] = _joined([parts[i] for i in chosen], reach_m, f"{self.root}, {location}")
            if len(self._answers) > KEPT_QUERIES:
                self._answers.popitem(last=False)
        return self._answers[key]

    def _files(self, location: str, tile: tuple[int, int]) -> list[Path]:
        folder = self.root / TILES / quote(location, safe="") / f"{tile[0]}_{tile[1]}"
        return sorted(folder.glob("*.parquet")) if folder.is_dir() else []

    def _tiles(self, shape: shapely.Geometry) -> list[tuple[int, int]]:
        """Numbers of the tiles that a shape touches."""
        if shapely.is_empty(shape):
            return []
        low_x, low_y, high_x, high_y = (int(np.floor(value / self._tile_m)) for value in shapely.bounds(shape))
        tiles = [(x, y) for x in range(low_x, high_x + 1) for y in range(low_y, high_y + 1)]
        boxes = shapely.box(*np.array([(x, y, x + 1, y + 1) for x, y in tiles], float).T * self._tile_m)
        return [tile for tile, hit in zip(tiles, shapely.intersects(boxes, shape), strict=True) if hit]


@dataclass(frozen=True)
class _Part:
    """What a file holds: a drive's elements in one tile."""

    drive: str
    end_ns: int
    numbers: NDArray
    lines: list[NDArray]
    names: list[str]
    confidence: NDArray
    coverage: shapely.Geometry


def _table(drive: DriveMap, numbers: Sequence[int]) -> pa.Table:
    merged = drive.merged
    about = {
        "mapstack_drive_version": str(FORMAT_VERSION),
        "drive": drive.drive,
        "start_ns": str(drive.start_ns),
        "end_ns": str(drive.end_ns),
        "coverage": shapely.to_wkt(drive.coverage, rounding_precision=2),
    }
    columns = {
        "element": pa.array(numbers, pa.int64()),
        "name": pa.array([merged.names[i] for i in numbers], pa.string()),
        "confidence": pa.array([float(merged.confidence[i]) for i in numbers], pa.float64()),
        "views": pa.array([int(merged.views[i]) for i in numbers], pa.int64()),
        "points": pa.array([merged.lines[i].ravel().tolist() for i in numbers], pa.list_(pa.float64())),
    }
    return pa.table(columns).replace_schema_metadata(about)


Stamp = tuple[str, int, int]  # path, time of change, size
_parts: OrderedDict[str, tuple[Stamp, _Part]] = OrderedDict()  # a few megabytes, shared by the stores of a process
KEPT_PARTS = 512


def _cached(path: Path) -> tuple[Stamp, _Part] | None:
    """A file's stamp and content; None where its drive was written anew meanwhile and left this tile."""
    try:
        about = path.stat()
        stamp = (str(path), about.st_mtime_ns, about.st_size)
        held = _parts.get(str(path))
        if held is None or held[0] != stamp:
            held = _parts[str(path)] = stamp, _read(path)
            if len(_parts) > KEPT_PARTS:
                _parts.popitem(last=False)
    except FileNotFoundError:
        return None
    return held


def _read(path: Path) -> _Part:
    try:
        table = pq.read_table(path)
        about = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        if about.get("mapstack_drive_version") != str(FORMAT_VERSION):
            raise DataError(f"{path} is of version {about.get('mapstack_drive_version')}; build the store again")
        rows = table.to_pydict()
        return _Part(
            drive=about["drive"],
            end_ns=int(about["end_ns"]),
            numbers=np.array(rows["element"], np.int64),
            lines=[np.array(flat, np.float64).reshape(-1, 2) for flat in rows["points"]],
            names=rows["name"],
            confidence=np.array(rows["confidence"], np.float64),
            coverage=shapely.from_wkt(about["coverage"]),
        )
    except FileNotFoundError:
        raise
    except (pa.ArrowInvalid, KeyError, OSError, shapely.errors.ShapelyError) as error:
        raise DataError(f"{path}: damaged tile of a drive map ({error}); build the store again") from error


def _joined(parts: Sequence[_Part], reach_m: float, name: str) -> PriorLines:
    """Each drive once, whatever tiles it came from, and then all drives merged."""
    drives: dict[str, dict[int, tuple]] = {}
    covers: dict[str, shapely.Geometry] = {}
    for part in parts:
        covers[part.drive] = part.coverage
        rows = zip(part.numbers.tolist(), part.lines, part.names, part.confidence.tolist(), strict=True)
        drives.setdefault(part.drive, {}).update({number: (line, kind, score) for number, line, kind, score in rows})
    observations = [
        Observation(
            lines=[row[0] for row in rows.values()],
            names=[row[1] for row in rows.values()],
            scores=np.array([row[2] for row in rows.values()]),
            coverage=covers[drive],
        )
        for drive, rows in sorted(drives.items())
    ]
    merged = merge(observations, reach_m=reach_m, min_confidence=0.0)
    shapes = np.empty(len(merged.lines), dtype=object)
    shapes[:] = [
        shapely.polygons(line) if kind in AREA_CLASSES else shapely.linestrings(line)
        for line, kind in zip(merged.lines, merged.names, strict=True)
    ]
    return PriorLines(shapes, merged.names, merged.confidence, name=name)


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside the file and move it into place."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
