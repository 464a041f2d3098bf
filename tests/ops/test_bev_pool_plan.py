"""The plan: what falls where, rounding at the low edge, the sort, and the cache."""

import pytest
import torch

from mapstack.geometry import BEVGrid
from mapstack.ops import BEVPoolPlan, BEVPoolPlanCache, bev_pool, bev_pool_depth, round_cells
from mapstack.ops.bev_pool.compiled import sort_frustum
from mapstack.ops.bev_pool.plan import feature_rows, sort_by_torch

from .conftest import require
from .test_bev_pool import GRID, frustum

SHAPE = (2, 3, 4, 5, 6)


@pytest.mark.parametrize("case", ["random", "one_cell", "outside"])
def test_the_counting_sort_equals_the_stable_sort(case: str) -> None:
    require("cpu")
    plan = BEVPoolPlan.build(frustum(SHAPE, GRID, 1, case)[2], GRID)
    for ours, theirs in zip(sort_frustum(plan), sort_by_torch(plan), strict=True):
        assert ours.dtype == theirs.dtype == torch.int32 and torch.equal(ours, theirs)


def test_sorted_points_name_the_right_depth_pixel_and_cell() -> None:
    depth, context, cells, _ = frustum(SHAPE, GRID, 4)
    plan = BEVPoolPlan.build(cells, GRID)
    points = plan.sorted_points()
    rows = feature_rows(context)
    cell = 3
    expected = []
    for where in (plan.cell_ids.view(SHAPE) == cell).nonzero():
        b, v, d, h, w = where.tolist()
        expected.append((float(depth[b, v, d, h, w]), context[b, v, :, h, w].tolist()))
    begin, end = points.offsets[cell : cell + 2].tolist()
    found = [
        (float(depth.reshape(-1)[points.depth_ids[i]]), rows[points.row_ids[i]].tolist()) for i in range(begin, end)
    ]
    assert begin < end and sorted(found) == sorted(expected)
    assert points.offsets[-1] == (plan.cell_ids < plan.num_cells).sum() == len(points.depth_ids)


def test_points_outside_the_low_edge_stay_out_unless_truncation_is_asked_for() -> None:
    grid = BEVGrid((-30, -15, -5, 30, 15, 3), 0.3)
    points = torch.tensor([[-30.1, 0.0, 0.0], [-29.9, 0.0, 0.0], [-30.1, -15.1, 0.0], [30.1, 0.0, 0.0]])
    xy = (points[:, :2] - torch.tensor(grid.pc_range[:2])) / grid.cell_m
    cells = torch.cat([torch.zeros(4, 1), xy.flip(-1)], dim=1)  # fractional (batch, row, col)
    shape = (1, *grid.shape)
    kept = [
        BEVPoolPlan.build(cells.view(1, 1, 4, 1, 1, 3), shape, rounding=rounding).cell_ids < shape[1] * shape[2]
        for rounding in ("floor", "truncate")
    ]
    assert kept[0].tolist() == [False, True, False, False]
    assert kept[1].tolist() == [True, True, True, False]  # what .long() of the published ops does
    integers = torch.cat([torch.zeros(4, 1, dtype=torch.long), grid.cells(points)], dim=1)
    assert torch.equal(round_cells(cells), integers)
    pooled = bev_pool(torch.ones(4, 1), round_cells(cells, "truncate"), shape)
    assert pooled.sum() == 3


def test_what_is_not_a_number_is_outside_of_every_grid() -> None:
    cells = torch.tensor([float("nan"), float("inf"), -float("inf"), 1e30, 2.5])
    assert round_cells(cells).tolist() == [-1, -1, -1, -1, 2]
    with pytest.raises(ValueError, match="rounding must be one of"):
        round_cells(cells, "nearest")


def test_a_neighbouring_row_or_batch_never_receives_what_left_the_grid() -> None:
    cells = torch.tensor([[0, 1, -1], [0, 1, 5], [0, 3, 0], [-1, 2, 4], [2, 0, 0]])
    assert bev_pool(torch.ones(5, 1), cells, GRID, backend="reference").abs().sum() == 0


def test_the_cache_builds_again_only_when_calibration_or_augmentation_changes() -> None:
    built = []

    def build() -> BEVPoolPlan:
        built.append(BEVPoolPlan.build(frustum(SHAPE, GRID, 1)[2], GRID))
        return built[-1]

    cache, intrinsics, augmentation = BEVPoolPlanCache(), torch.eye(3), torch.eye(4)
    first = cache.get([intrinsics, augmentation], build)
    assert cache.get([intrinsics.clone(), augmentation], build) is first
    augmentation[0, 0] = -1.0  # in place: the cache must have kept a copy
    assert cache.get([intrinsics, augmentation], build) is not first
    assert cache.get([intrinsics[:2], augmentation], build) is built[-1] and len(built) == 3


def test_a_plan_is_sorted_once() -> None:
    depth, context, cells, _ = frustum(SHAPE, GRID, 4)
    plan = BEVPoolPlan.build(cells, GRID)
    bev_pool_depth(depth, context, plan)
    points = plan.sorted_points()
    bev_pool_depth(depth, context, plan)
    assert plan.sorted_points() is points


def test_a_plan_refuses_what_it_cannot_index() -> None:
    with pytest.raises(ValueError, match=r"\(B, V, D, H, W, 3\)"):
        BEVPoolPlan.build(torch.zeros(4, 3, dtype=torch.long), GRID)
    with pytest.raises(ValueError, match="32 bits"):
        BEVPoolPlan.build(torch.zeros(1, 1, 1, 1, 1, 3, dtype=torch.long), (1, 2**16, 2**15))
