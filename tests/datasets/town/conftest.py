"""The tiny town through the official devkits, and one of its drives with its sensors at hand."""

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")


@pytest.fixture(scope="session")
def world():
    from mapstack.datasets.town.world import grow_world

    return grow_world(0, "tiny")


@pytest.fixture(scope="session")
def small_world():
    from mapstack.datasets.town.world import grow_world

    return grow_world(0, "small")


@pytest.fixture(scope="session")
def stage(world):
    """A drive beside a painted road divider, on a clear day."""
    from mapstack.datasets.town.stage import set_stage

    lanes = world.districts[0].map.lanes
    lane = next(i for i, one in enumerate(lanes) if one.left_mark == "DOUBLE_SOLID_YELLOW" and one.curve.length > 60)
    return set_stage(world.districts[0], lane, 6.0, (0, 99, 3))


@pytest.fixture(scope="session")
def tables(town):
    from nuscenes.nuscenes import NuScenes

    return NuScenes("v1.0-trainval", str(town.nuscenes), verbose=False)


@pytest.fixture(scope="session")
def nuscenes_map(town):
    from nuscenes.map_expansion.map_api import NuScenesMap

    return NuScenesMap(str(town.nuscenes), "singapore-onenorth")


@pytest.fixture
def working_descartes(monkeypatch):
    """What descartes 1.1.0, which the devkit draws polygons with, no longer does with shapely 2 (on real maps too)."""
    import descartes.patch
    from matplotlib.path import Path

    def path_of(shape):
        parts = getattr(shape, "geoms", [shape])
        rings = [np.asarray(ring.coords)[:, :2] for part in parts for ring in (part.exterior, *part.interiors)]
        codes = [code for ring in rings for code in [Path.MOVETO, *[Path.LINETO] * (len(ring) - 2), Path.CLOSEPOLY]]
        return Path(np.concatenate(rings), codes)

    monkeypatch.setattr(descartes.patch, "PolygonPath", path_of)
