"""The benchmark measures what it says, on a frustum small enough for a test."""

import torch

from mapstack.ops.benchmark import BASELINES, SIZES, Size, measure


def test_every_pool_and_baseline_agrees_and_is_measured() -> None:
    tiny = Size((1.0, 9.0, 1.0), (64, 128), (2, 4), 8, (6.0, 3.0), 0.5)
    results = {result.name: result for result in measure(tiny, torch.device("cpu"), rounds=1)}
    assert {"torch", "reference", *BASELINES} <= results.keys()
    for result in results.values():
        assert result.error < 1e-5 and 0 < result.forward_ms and 0 < result.both_ms, result


def test_the_rig_covers_the_published_grids() -> None:
    for name, kept_share in (("maptr", 0.57), ("bevfusion", 0.86), ("bevdet", 0.86)):
        size = SIZES[name]
        cells = size.cells()
        inside = ((cells >= 0) & (cells < torch.tensor(size.grid_shape))).all(-1)
        assert abs(float(inside.float().mean()) - kept_share) < 0.05, name
    assert SIZES["maptr"].grid_shape == (1, 100, 200) and SIZES["bevfusion"].grid_shape == (1, 360, 360)
    assert SIZES["maptr"].cells().shape == (1, 6, 68, 15, 25, 3)
