"""Gather tables: the same cells as the model's own plan, the same sums, whatever the calibration."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mapstack.export.metadata import PoolGeometry
from mapstack.export.tables import PoolTableCache, frustum_cells, pillar_tables, pool_tables, segment_tables
from mapstack.geometry import BEVGrid
from mapstack.ops import BEVPoolTables, CanvasTables, PointCells, bev_pool_depth
from mapstack.ops.tables import reduce_by_tables

from ..models.conftest import GRID
from .rigs import batch_of, dataset_of, seeded_model, small_config


def as_tensors(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


@pytest.mark.parametrize("sizes", [(), (1,), (0, 5, 0, 33), (4, 300, 1, 0, 31, 32, 4, 5)])
def test_segments_of_any_length_are_summed_exactly(sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    segments = rng.permutation(np.repeat(np.arange(-1, len(sizes)), (7, *sizes)))
    rows = torch.from_numpy(rng.integers(-9, 9, (len(segments), 3)).astype(np.float32))
    levels, wanted = segment_tables(segments, len(sizes))
    out = reduce_by_tables(rows, [torch.from_numpy(table) for table in levels], torch.from_numpy(wanted)[None])
    for segment, size in enumerate(sizes):
        own = rows[torch.from_numpy(segments == segment)]
        assert len(own) == size and torch.equal(out[0, segment], own.sum(0))


def lean(poses: torch.Tensor, degrees: float) -> torch.Tensor:
    """Cameras rolled and pitched: a column's points no longer lie above each other."""
    angle = torch.tensor(np.deg2rad(degrees), dtype=torch.float32)
    cos, sin = angle.cos(), angle.sin()
    roll, pitch = torch.eye(4), torch.eye(4)
    roll[:2, :2] = torch.stack([torch.stack([cos, -sin]), torch.stack([sin, cos])])
    pitch[1:3, 1:3] = roll[:2, :2]
    return poses @ roll @ pitch


@pytest.mark.parametrize("degrees", [0.0, 1.0, 25.0])
def test_camera_tables_pool_like_the_models_own_plan(town_index: dict[str, Path], degrees: float) -> None:
    config = small_config(lidar=False)
    model = seeded_model(config)
    inputs = dict(batch_of(model, dataset_of(config, town_index["val"]), [0, 1]))
    inputs["ego_from_camera"] = lean(inputs["ego_from_camera"], degrees)
    encoder = model.encoders["camera"]
    plan = encoder._build_plan(inputs, torch.Size((8, 12)))
    rows, cols = encoder.grid.shape
    geometry = PoolGeometry(encoder.grid.cell_m, tuple(encoder.depth_bins.tolist()), (8, 12))
    arrays = [inputs[name].numpy() for name in ("intrinsics", "ego_from_camera")]
    cells = frustum_cells(*arrays, (64, 96), geometry, BEVGrid(**GRID))
    frame = np.arange(2).reshape(-1, 1, 1, 1, 1) * rows * cols
    np.testing.assert_array_equal(
        np.where(cells >= 0, cells + frame, 2 * rows * cols).reshape(-1), plan.cell_ids.numpy()
    )
    arrays = pool_tables(cells, rows * cols)
    tables = BEVPoolTables.from_inputs(as_tensors(arrays), (rows, cols))
    generator = torch.Generator().manual_seed(0)
    depth = torch.rand(plan.frustum_shape, generator=generator)
    context = torch.randn(2, 2, 5, 8, 12, generator=generator)
    expected = bev_pool_depth(depth.double(), context.double(), plan, "reference").float()
    torch.testing.assert_close(tables.pool(depth, context), expected, rtol=1e-5, atol=1e-5)
    assert degrees < 20 or arrays["pool_mask"].shape[3] > 4  # or no column was split


def test_pillar_tables_are_the_canvas_ops() -> None:
    grid = BEVGrid(**GRID).with_cell(1.5)
    generator = torch.Generator().manual_seed(0)
    xyz = (torch.rand(3000, 3, generator=generator) - 0.5) * torch.tensor([80.0, 40.0, 12.0])
    xyz[:40] = torch.tensor([0.1, 0.1, 0.1])  # a crowd in one cell
    xyz[40:43] = torch.tensor([30.0, 15.0, 3.0])  # upper edges are outside
    points = torch.cat([torch.randint(2, (3000, 1), generator=generator), xyz, torch.zeros(3000, 2)], 1)
    frame = torch.where(grid.contains(xyz), points[:, 0].long(), -1)
    own = PointCells(torch.cat([frame[:, None], grid.cells(xyz)], 1), (2, *grid.shape), xyz[:, 2:])
    tables = CanvasTables.from_inputs(as_tensors(pillar_tables(points.numpy(), 2, grid)), grid.shape)
    feats = torch.rand(3000, 4, generator=generator)
    torch.testing.assert_close(tables.count(), own.count(), rtol=0, atol=0)
    torch.testing.assert_close(tables.mean_z, own.mean_z, rtol=1e-5, atol=1e-5)
    for found, expected in zip(tables.max_and_mean(feats), own.max_and_mean(feats), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_no_point_makes_tables_too() -> None:
    grid = BEVGrid(**GRID).with_cell(1.5)
    tables = CanvasTables.from_inputs(as_tensors(pillar_tables(np.zeros((0, 6), np.float32), 1, grid)), grid.shape)
    assert not tables.max_and_mean(torch.zeros(0, 4))[0].any() and tables.mean_z.shape == (0, 1)


def test_tables_are_kept_while_the_calibration_stays() -> None:
    cache = PoolTableCache((64, 96), PoolGeometry(0.6, (2.0, 4.0), (4, 6)), BEVGrid(**GRID))
    inputs = {
        "intrinsics": np.tile(np.array([[80, 0, 48], [0, 80, 32], [0, 0, 1]], np.float32), (1, 2, 1, 1)),
        "ego_from_camera": np.tile(np.eye(4, dtype=np.float32), (1, 2, 1, 1)),
    }
    first = cache.get(inputs)
    assert cache.get({name: value.copy() for name, value in inputs.items()}) is first and cache.num_made == 1
    inputs["ego_from_camera"] = inputs["ego_from_camera"] + np.float32(1e-3)
    assert cache.get(inputs) is not first and cache.num_made == 2
