from pathlib import Path

import numpy as np
import pytest
from pyarrow import feather
from scipy.spatial.transform import Rotation

from mapstack.geometry import BEVGrid
from mapstack.geometry.se3 import make_transform, rotation_z
from mapstack.maps import MapLayer, VectorMap

LOG = "7fab2350-7eaf-3b7e-a39d-6937a4c1bede"


def pose_at(x: float, y: float, yaw: float, z: float = 0.0) -> np.ndarray:
    return make_transform(rotation_z(yaw), np.array([x, y, z]))


def ego_poses(log_dir: Path) -> dict[int, np.ndarray]:
    """timestamp_ns -> world_from_ego of a log."""
    table = feather.read_table(log_dir / "city_SE3_egovehicle.feather").to_pydict()
    rotations = Rotation.from_quat(np.column_stack([table[name] for name in ("qx", "qy", "qz", "qw")])).as_matrix()
    places = np.column_stack([table[name] for name in ("tx_m", "ty_m", "tz_m")])
    stamps = table["timestamp_ns"]
    return {t: make_transform(r, p) for t, r, p in zip(stamps, rotations, places, strict=True)}


def random_map(seed: int = 0, dims: int = 3) -> VectorMap:
    """Wandering lines and rotated boxes over 200 m, in the thousands of metres that real maps have."""
    rng = np.random.default_rng(seed)
    centre = np.array([4000.0, 2000.0, 70.0])[:dims]

    def lines(count: int) -> list[np.ndarray]:
        starts = rng.uniform(-100, 100, (count, 1, dims))
        return list(centre + (starts + np.cumsum(rng.normal(0, 6, (count, 30, dims)), axis=1)) * ([1, 1, 0.05][:dims]))

    def boxes(count: int, size: float) -> list[np.ndarray]:
        corners = np.array([[-1, -1, 0.1], [1, -1, 0], [1, 1, -0.1], [-1, 1, 0]])[:, :dims]
        found = []
        for _ in range(count):
            turn = rotation_z(rng.uniform(0, np.pi))[:dims, :dims]
            where = rng.uniform(-60, 60, dims) * ([1, 1, 0.01][:dims])
            found.append(centre + where + (corners * ([size, 2 * size, 1][:dims])) @ turn.T)
        return found

    return VectorMap(
        {
            "lane_divider": MapLayer.from_lines(lines(20)),
            "centerline": MapLayer.from_lines(lines(20)),
            "ped_crossing": MapLayer.from_polygons(boxes(15, 2.0)),
            "drivable_area": MapLayer.from_polygons(boxes(12, 8.0)),
        }
    )


@pytest.fixture(scope="session")
def grid() -> BEVGrid:
    return BEVGrid((-30, -15, -5, 30, 15, 3), 0.3)


@pytest.fixture(scope="session")
def argoverse2_logs(shared: Path) -> Path:
    return shared / "data" / "argoverse2" / "sensor" / "val"
