"""LiDAR encoders: what they keep of the points, at which ranges, and what an empty cloud does to them."""

import pytest
import torch

from mapstack.errors import ConfigError
from mapstack.geometry import BEVGrid
from mapstack.registry import MODELS

RANGES = {
    "60x30": (30, 15, 0.3, 0.6),
    "100x50": (50, 25, 0.5, 0.5),
    "120x60": (60, 30, 0.6, 0.6),
    "240x60": (120, 30, 0.6, 1.2),
}
SECOND = {"channels": 8, "point_channels": 4, "stage_channels": (8, 8), "stage_depths": (1, 1)}
PILLARS = {"channels": 8, "pillar_channels": 4}
ENCODERS = {"DenseSECOND": SECOND, "DynamicPillars": PILLARS}
either = pytest.mark.parametrize("kind", ENCODERS)


def build(
    kind: str, half: tuple[float, float] = (6, 3), cell_m: float = 0.3, bev_cell_m: float = 0.6
) -> torch.nn.Module:
    grid = {"pc_range": (-half[0], -half[1], -5, half[0], half[1], 3), "cell_m": cell_m}
    return MODELS.build({"type": kind, "grid": grid, "cell_m": bev_cell_m, **ENCODERS[kind]})


def cloud(count: int, frame: int = 0, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    low, high = torch.tensor([-6.0, -3, -1, 0, 0]), torch.tensor([6.0, 3, 2.5, 1, 0.3])
    points = low + (high - low) * torch.rand(count, 5, generator=generator)
    return torch.cat([torch.full((count, 1), float(frame)), points], 1)


def encode(model: torch.nn.Module, points: torch.Tensor, batch: int = 1) -> torch.Tensor:
    with torch.no_grad():
        return model({"points": points, "batch_size": batch})[0]


@either
@pytest.mark.parametrize("name", RANGES)
def test_any_range_ends_at_the_cells_that_were_asked_for(kind: str, name: str) -> None:
    half_x, half_y, cell_m, bev_cell_m = RANGES[name]
    model = build(kind, (half_x, half_y), cell_m, bev_cell_m).eval()
    shape = BEVGrid(model.grid.pc_range, bev_cell_m).shape
    assert encode(model, cloud(200)).shape == (1, 8, *shape)


@either
def test_every_property_of_a_point_counts(kind: str) -> None:
    """Moved within its cell, brighter, older, or higher: each changes the map."""
    model, points = build(kind).eval(), cloud(50)
    before = encode(model, points)
    for column, step in ((1, 0.02), (3, 0.05), (4, 0.3), (5, 0.1)):
        changed = points.clone()
        changed[7, column] += step
        assert not torch.allclose(encode(model, changed), before, atol=1e-6), f"column {column} is ignored"


@either
def test_points_beyond_the_range_or_of_another_frame_count_not(kind: str) -> None:
    model, points = build(kind).eval(), cloud(50)
    far = points[:3].clone()
    far[0, 1], far[1, 2], far[2, 3] = 6.5, -3.1, 3.2
    before = encode(model, points)
    torch.testing.assert_close(encode(model, torch.cat([points, far])), before)
    both = encode(model, torch.cat([points, cloud(80, frame=1, seed=1)]), batch=2)
    torch.testing.assert_close(both[:1], before)
    assert not torch.allclose(both[1:], before)


@either
def test_the_order_of_points_does_not_count(kind: str) -> None:
    model, points = build(kind).eval(), cloud(300)
    shuffled = points[torch.randperm(300, generator=torch.Generator().manual_seed(1))]
    torch.testing.assert_close(encode(model, points), encode(model, shuffled), rtol=1e-4, atol=1e-5)


def test_voxels_of_one_cell_are_told_apart_by_height() -> None:
    """Two points of a cell, above each other: SECOND's maximum must not mix them."""
    model = build("DenseSECOND").eval()
    points = cloud(2)
    points[:, 1:3] = torch.tensor([0.1, 0.1])
    points[:, 3] = torch.tensor([0.0, 1.5])
    with torch.no_grad():
        voxels = model._voxels(points, 1).unflatten(1, (6, -1))  # (1, heights, features, H, W)
    occupied = (voxels[0, :, -1] > 0).nonzero()
    row, col = 10, 20
    assert occupied.tolist() == [[1, row, col], [4, row, col]]


@either
def test_a_batch_without_any_point_leaves_the_statistics_alone(kind: str) -> None:
    """Sensor drop-out can empty a whole batch: PyTorch's own batch norm would store NaN."""
    model = build(kind).train()
    before = model.point_net[1].running_mean.clone()
    bev, _ = model({"points": torch.zeros(0, 6), "batch_size": 2})
    assert bev.isfinite().all()
    assert torch.equal(model.point_net[1].running_mean, before)
    bev.sum().backward()
    model({"points": cloud(50), "batch_size": 2})
    assert not torch.equal(model.point_net[1].running_mean, before)


def test_wrong_cells_and_heights_are_refused() -> None:
    with pytest.raises(ConfigError, match="1, 2 or 4 voxels"):
        build("DenseSECOND", bev_cell_m=0.9)
    with pytest.raises(ConfigError, match="rising edges"):
        grid = {"pc_range": (-6, -3, -5, 6, 3, 3), "cell_m": 0.3}
        MODELS.build({"type": "DenseSECOND", "grid": grid, "cell_m": 0.6, "heights_m": (1.0, 0.0)})
