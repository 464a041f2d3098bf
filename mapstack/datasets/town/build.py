"""Make a whole town on disk: once, in parallel, and never half."""

import json
import multiprocessing
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import cv2
from tqdm import tqdm

from mapstack.errors import DataError

from .aged_map import write_aged_map
from .argoverse2_log import write_log
from .nuscenes_scene import SceneRows, write_scene
from .nuscenes_writer import prepare_root, write_tables
from .osm import write_osm
from .world import ScenePlan, World, grow_world

__all__ = ["TOWN_VERSION", "TownPaths", "make_town"]

TOWN_VERSION = 5  # raise it with every change of the bytes: towns of other versions are made anew
STAMP = "town.json"


@dataclass(frozen=True)
class TownPaths:
    """Where a town's parts lie.

    Args:
        root: the folder of it all.
        nuscenes: dataset root.
        argoverse2: dataset root, the folder ``sensor``.
        osm: OpenStreetMap XML where nuScenes' location lies on Earth.
        osm_argoverse2: the same streets where Argoverse 2's city lies.
        aged_map: GeoJSON; ``aged_map.changes.json`` beside it lists what changed since.
        splits: lists of scene names by part.
    """

    root: Path
    nuscenes: Path
    argoverse2: Path
    osm: Path
    osm_argoverse2: Path
    aged_map: Path
    splits: dict[str, Path]

    @staticmethod
    def under(root: Path) -> "TownPaths":
        """The layout under one folder."""
        return TownPaths(
            root=root,
            nuscenes=root / "nuscenes",
            argoverse2=root / "argoverse2" / "sensor",
            osm=root / "osm" / "town.osm",
            osm_argoverse2=root / "osm" / "town_argoverse2.osm",
            aged_map=root / "aged_map.geojson",
            splits={name: root / "splits" / f"{name}.txt" for name in ("train", "val")},
        )


def make_town(
    out_dir: str | Path, *, seed: int = 0, size: str = "small", num_workers: int = 2, show_progress: bool = False
) -> TownPaths:
    """Make a town, or return at once where the same town already stands.

    The bytes depend on ``seed``, ``size`` and this code only, not on ``num_workers``. Everything is written beside
    ``out_dir`` and moved there when complete.

    Args:
        out_dir: folder of the town; must be empty, missing, or an earlier town (which is replaced).
        seed: grows another town.
        size: tiny, small or large.
        num_workers: processes that render; 0 renders in this one.
        show_progress: draw a progress bar that counts frames.

    Raises:
        DataError: ``out_dir`` holds something that is not a town.
        ConfigError: ``size`` is unknown.
    """
    out_dir = Path(out_dir).absolute()
    stamp = {"town": TOWN_VERSION, "seed": seed, "size": size}
    if _read_stamp(out_dir) == stamp:
        return TownPaths.under(out_dir)
    if out_dir.exists() and _read_stamp(out_dir) is None and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise DataError(f"{out_dir} holds something that is not a town; name an empty folder, or remove it yourself")
    world = grow_world(seed, size)
    partial = out_dir.with_name(f".{out_dir.name}.partial-{os.getpid()}")
    _remove_abandoned(out_dir)
    partial.mkdir(parents=True)
    try:
        _write_all(TownPaths.under(partial), world, num_workers, show_progress)
        (partial / STAMP).write_text(json.dumps(stamp))
        if out_dir.exists():
            shutil.rmtree(out_dir)
        partial.rename(out_dir)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return TownPaths.under(out_dir)


def _read_stamp(out_dir: Path) -> dict | None:
    try:
        stamp = json.loads((out_dir / STAMP).read_text())
    except (OSError, ValueError):
        return None
    return stamp if isinstance(stamp, dict) and "town" in stamp else None


def _remove_abandoned(out_dir: Path) -> None:
    """Remove what runs that were killed left behind; a run that still lives keeps its folder."""
    for path in out_dir.parent.glob(f".{out_dir.name}.partial-*"):
        pid = path.name.rsplit("-", 1)[1]
        if pid.isdigit() and (int(pid) == os.getpid() or not Path(f"/proc/{pid}").exists()):
            shutil.rmtree(path, ignore_errors=True)


def _write_all(paths: TownPaths, world: World, num_workers: int, show_progress: bool) -> None:
    prepare_root(paths.nuscenes)
    rows: dict[int, SceneRows] = {}
    total = len(world.scenes) * world.size.keyframes + len(world.logs) * world.size.log_sweeps
    with tqdm(total=total, desc="town", unit="frame", disable=not show_progress) as bar:
        for plan, frames, made in _run(paths, world, num_workers):
            bar.update(frames)
            if made is not None:
                rows[plan.number] = made
    write_tables(paths.nuscenes, world, [rows[plan.number] for plan in world.scenes])
    write_osm(paths.osm, paths.osm_argoverse2, world)
    write_aged_map(paths.nuscenes, paths.aged_map, world.seed)
    for name, path in paths.splits.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{plan.name}\n" for plan in world.scenes if plan.split == name))


def _run(paths: TownPaths, world: World, num_workers: int) -> Iterator[tuple[ScenePlan, int, SceneRows | None]]:
    """Drives as they are finished, in any order, with their number of frames and a scene's rows."""
    jobs = [(plan, False) for plan in world.logs] + [(plan, True) for plan in world.scenes]  # logs take longest
    if num_workers == 0:
        _start(paths, world)
        yield from (_make(*job) for job in jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, mp_context=context, initializer=_start, initargs=(paths, world)) as pool:
        pending = [pool.submit(_make, *job) for job in jobs]
        try:
            yield from (future.result() for future in as_completed(pending))
        finally:
            pool.shutdown(cancel_futures=True)


_job: dict[str, object] = {}  # what a worker process was started with; too large to send with every drive


def _start(paths: TownPaths, world: World) -> None:
    cv2.setNumThreads(1)
    _job.update(paths=paths, world=world)


def _make(plan: ScenePlan, is_scene: bool) -> tuple[ScenePlan, int, SceneRows | None]:
    paths, world = _job["paths"], _job["world"]
    if is_scene:
        rows = write_scene(paths.nuscenes, world, plan)
        return plan, rows.keyframes, rows
    return plan, write_log(paths.argoverse2, world, plan), None
