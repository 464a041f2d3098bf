"""Fixtures for every room: the real recordings, and a tiny town made once."""

import hashlib
import os
import shutil
import time
from pathlib import Path

import pytest
from filelock import FileLock

from mapstack.datasets.prepare import write_parts
from mapstack.datasets.sources import nuscenes
from mapstack.datasets.splits import read_split_files
from mapstack.datasets.town import TownPaths, make_town

ROOT = Path(__file__).parents[1]
CACHE = ROOT / "build/tests"
SHARED = Path(os.environ.get("MAPSTACK_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real recordings, MAPSTACK_SHARED or ../shared; the test is skipped where there is none."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"no real recordings: {SHARED}/data is missing; set MAPSTACK_SHARED")
    return SHARED


@pytest.fixture(scope="session")
def town() -> TownPaths:
    """The tiny town, kept in build/ for the next run until the code that draws it changes. Do not write into it."""
    sources = sorted((ROOT / "mapstack/datasets/town").rglob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    CACHE.mkdir(parents=True, exist_ok=True)
    for old in CACHE.glob("town-*"):
        # A day old: another run, on code that draws another town, may be at work on a younger one.
        if not old.name.startswith(f"town-{digest}") and old.stat().st_mtime < time.time() - 86400:
            shutil.rmtree(old, ignore_errors=True)
    with FileLock(CACHE / "town.lock"):  # several processes share out the tests; one of them makes it
        return make_town(CACHE / f"town-{digest}", size="tiny", num_workers=0)


@pytest.fixture(scope="session")
def town_index(town: TownPaths) -> dict[str, Path]:
    """Index files of the tiny town by part, ``train`` and ``val``, as tools/prepare_nuscenes.py writes them."""
    parts = read_split_files(list(town.splits.values()))
    scenes = [scene for names in parts.values() for scene in names]
    frames = nuscenes.read_frames(town.nuscenes, "v1.0-trainval", scenes=scenes, max_sweeps=10)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    out = town.root.with_name(f"{town.root.name}-index{worker}")
    write_parts(frames, parts, out, dataset="nuscenes", data_root=town.nuscenes, command="tests/conftest.py")
    return {name: out / f"{name}.parquet" for name in parts}
