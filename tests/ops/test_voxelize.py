"""Pillars against loops in plain Python."""

import pytest
import torch

from mapstack.ops import gather_from_canvas, scatter_pillars, scatter_to_canvas, voxelize, voxelize_hard
from mapstack.ops.bev_pool.compiled import sort_points
from mapstack.ops.bev_pool.plan import flat_cell_ids

from .conftest import require

GRID = (2, 3, 4)


def points(number: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    cells = torch.stack([torch.randint(-1, n + 1, (number,), generator=generator) for n in GRID], 1)
    return torch.randn(number, 5, generator=generator), cells


def groups(cells: torch.Tensor) -> dict[tuple[int, ...], list[int]]:
    """Points by cell, in the order of each cell's first point."""
    found: dict[tuple[int, ...], list[int]] = {}
    for i, cell in enumerate(map(tuple, cells.tolist())):
        if all(0 <= value < size for value, size in zip(cell, GRID, strict=True)):
            found.setdefault(cell, []).append(i)
    return found


REDUCE = {"sum": lambda x: x.sum(0), "mean": lambda x: x.mean(0), "max": lambda x: x.max(0).values}


@pytest.fixture(params=["cpu", "reference"])
def backend(request: pytest.FixtureRequest) -> str:
    return require(request.param)


@pytest.mark.parametrize("reduce", REDUCE)
def test_dynamic_pillars_and_the_canvas_hold_the_same(reduce: str, backend: str) -> None:
    feats, cells = points()
    pillars, expected = voxelize(cells, GRID), groups(cells)
    assert [tuple(coord) for coord in pillars.coords.tolist()] == sorted(expected)
    assert pillars.counts.tolist() == [len(expected[cell]) for cell in sorted(expected)]
    assert all(pillars.inverse[i] == n for n, cell in enumerate(sorted(expected)) for i in expected[cell])
    rows = torch.stack([REDUCE[reduce](feats[expected[cell]]) for cell in sorted(expected)])
    torch.testing.assert_close(scatter_pillars(feats, pillars, reduce, backend), rows)
    canvas = scatter_to_canvas(feats, cells, GRID, reduce, backend)
    batch, row, col = pillars.coords.unbind(1)
    torch.testing.assert_close(canvas[batch, :, row, col], rows)
    assert (canvas != 0).any(1).sum() == len(rows)
    inside = pillars.inverse < len(rows)
    back = gather_from_canvas(canvas, cells)
    torch.testing.assert_close(back[inside], rows[pillars.inverse[inside]])
    assert not back[~inside].any()


@pytest.mark.parametrize("reduce", REDUCE)
def test_gradients(reduce: str, backend: str) -> None:
    feats, cells = points(20)
    feats = feats[:, :2].double().requires_grad_()
    pillars = voxelize(cells, GRID)
    assert torch.autograd.gradcheck(lambda x: scatter_pillars(x, pillars, reduce, backend), feats, fast_mode=True)
    assert torch.autograd.gradcheck(lambda x: scatter_to_canvas(x, cells, GRID, reduce, backend), feats, fast_mode=True)
    canvas = torch.randn(*GRID[:1], 2, *GRID[1:], dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: gather_from_canvas(x, cells), canvas, fast_mode=True)


@pytest.mark.parametrize(("max_points", "max_pillars"), [(1, 100), (3, 5), (100, 100)])
def test_hard_pillars_keep_the_first(max_points: int, max_pillars: int) -> None:
    feats, cells = points()
    hard = voxelize_hard(feats, cells, GRID, max_points=max_points, max_pillars=max_pillars)
    expected = list(groups(cells).items())[:max_pillars]
    assert [tuple(coord) for coord in hard.coords.tolist()] == [cell for cell, _ in expected]
    assert hard.feats.shape[1] == max_points
    for row, count, (_, members) in zip(hard.feats, hard.counts.tolist(), expected, strict=True):
        assert count == min(len(members), max_points)
        assert torch.equal(row[:count], feats[members[:count]]) and not row[count:].any()


def test_the_first_of_equal_maxima_gets_the_gradient_and_a_nan_is_not_lost() -> None:
    require("cpu")
    feats = torch.tensor([[1.0, 2.0], [1.0, 3.0], [0.5, float("nan")]], requires_grad=True)
    pooled = scatter_to_canvas(feats, torch.zeros(3, 3, dtype=torch.long), (1, 1, 2), backend="cpu")
    pooled[0, :, 0, 0].backward(torch.tensor([5.0, 7.0]))
    assert pooled[0, 0, 0, 0] == 1 and pooled[0, 1, 0, 0].isnan() and not pooled[0, :, 0, 1].any()
    assert feats.grad.tolist() == [[5, 0], [0, 0], [0, 7]]


def test_opcheck() -> None:
    require("cpu")
    feats, cells = points()
    order, offsets = sort_points(flat_cell_ids(cells, GRID).int(), 24)
    scatter_to_canvas(feats, cells, GRID, backend="cpu")  # registers the ops
    torch.library.opcheck(torch.ops.mapstack.pool_max, (feats.requires_grad_(), order, offsets))
    winners = torch.randperm(24, dtype=torch.int32)[:, None].repeat(1, 5)  # a point lies in one cell
    torch.library.opcheck(torch.ops.mapstack.pool_max_gradient, (torch.randn(24, 5), winners, 24))


@pytest.mark.parametrize("cells", [torch.zeros(0, 3), torch.full((4, 3), -1)], ids=["none", "outside"])
def test_no_point_inside_gives_no_pillar(cells: torch.Tensor) -> None:
    cells, feats = cells.long(), torch.randn(len(cells), 5)
    pillars = voxelize(cells, GRID)
    assert pillars.coords.shape == (0, 3) and scatter_pillars(feats, pillars, "max").shape == (0, 5)
    hard = voxelize_hard(feats, cells, GRID, max_points=2, max_pillars=2)
    assert hard.feats.shape == (0, 2, 5) and hard.counts.shape == (0,)
    assert not scatter_to_canvas(feats, cells, GRID, "max").any()


def test_wrong_input_is_refused() -> None:
    feats, cells = points()
    with pytest.raises(ValueError, match=r"\(M, F\) and \(M, 3\)"):
        scatter_to_canvas(feats[1:], cells, GRID)
    with pytest.raises(ValueError, match="'median'"):
        scatter_to_canvas(feats, cells, GRID, "median")
    with pytest.raises(ValueError, match="'median'"):
        scatter_pillars(feats, voxelize(cells, GRID), "median")
    with pytest.raises(ValueError, match="must be positive"):
        voxelize_hard(feats, cells, GRID, max_points=0, max_pillars=1)
    with pytest.raises(ValueError, match=r"\(M, 3\)"):
        voxelize(cells[:, :2], GRID)
    with pytest.raises(ValueError, match=r"\(B, F, H, W\)"):
        gather_from_canvas(feats, cells)
