"""Every backend against the float64 reference: values and gradients."""

import pytest
import torch
from torch import Tensor

from mapstack.ops import BEVPoolPlan, bev_pool, bev_pool_depth

from .conftest import device_of

GRID = (2, 3, 5)

CELLS = {
    "random": lambda m, g: torch.stack([torch.randint(-1, n + 1, (m,), generator=g) for n in GRID], 1),
    "one_cell": lambda m, g: torch.tensor([1, 2, 4]).expand(m, 3).clone(),
    "outside": lambda m, g: torch.full((m, 3), -1),
    "low_edge": lambda m, g: torch.tensor([0, 0, -1]).repeat(m, 1),
}


def assert_close(values: list[Tensor], truth: list[Tensor], rtol: float = 1e-5) -> None:
    """Relative to the largest value: a sum of a million terms may cancel to almost nothing."""
    for value, true in zip(values, truth, strict=True):
        assert value.shape == true.shape
        if true.numel():
            scale = true.abs().max().clamp(min=1e-30)
            assert ((value.double().cpu() - true) / scale).abs().max() <= rtol


def pool_points(name: str, feats: Tensor, cells: Tensor, weight: Tensor) -> list[Tensor]:
    device = device_of(name)
    leaf = feats.detach().to(device).requires_grad_()
    out = bev_pool(leaf, cells.to(device), GRID, backend=name)
    (grad,) = torch.autograd.grad((out * weight.to(out)).sum(), leaf)
    return [out.detach(), grad]


def pool_depth(name: str, depth: Tensor, context: Tensor, cells: Tensor, grid: tuple, weight: Tensor) -> list[Tensor]:
    device = device_of(name)
    leaves = [tensor.detach().to(device).requires_grad_() for tensor in (depth, context)]
    out = bev_pool_depth(*leaves, BEVPoolPlan.build(cells.to(device), grid), backend=name)
    return [out.detach(), *torch.autograd.grad((out * weight.to(out)).sum(), leaves)]


def frustum(shape: tuple[int, ...], grid: tuple[int, int, int], channels: int, case: str = "random") -> tuple:
    """Depth, context, cells and a weight for the output, drawn on the CPU: the same for every device."""
    generator = torch.Generator().manual_seed(0)
    batch, views, _, height, width = shape
    depth = torch.rand(shape, generator=generator)
    context = torch.randn(batch, views, channels, height, width, generator=generator)
    cells = CELLS[case](depth.numel(), generator).view(*shape, 3)
    cells[..., 0] = torch.arange(batch).view(-1, 1, 1, 1, 1)
    return depth, context, cells, torch.randn(grid[0], channels, *grid[1:], generator=generator)


@pytest.mark.parametrize("num_points", [0, 1, 300])
@pytest.mark.parametrize("case", CELLS)
@pytest.mark.parametrize("channels", [1, 8, 19])
def test_pool_matches_reference(backend: str, num_points: int, case: str, channels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    feats = torch.randn(num_points, channels, generator=generator)
    cells = CELLS[case](num_points, generator)
    weight = torch.randn(GRID[0], channels, *GRID[1:], generator=generator)
    truth = pool_points("reference", feats.double(), cells, weight)
    assert_close(pool_points(backend, feats, cells, weight), truth)


@pytest.mark.parametrize("shape", [(2, 3, 5, 2, 3), (2, 1, 1, 1, 1), (2, 1, 3, 1, 17), (2, 1, 0, 2, 2)], ids=str)
@pytest.mark.parametrize("case", CELLS)
@pytest.mark.parametrize("channels", [1, 7, 16, 160])
def test_fused_matches_reference(backend: str, shape: tuple[int, ...], case: str, channels: int) -> None:
    if backend == "triton" and channels != 16 and (case, shape[1:]) != ("random", (1, 3, 1, 17)):
        pytest.skip("the interpreter takes a millisecond per cell and pixel")
    depth, context, cells, weight = frustum(shape, GRID, channels, case)
    truth = pool_depth("reference", depth.double(), context.double(), cells, GRID, weight)
    assert_close(pool_depth(backend, depth, context, cells, GRID, weight), truth)


@pytest.mark.parametrize("case", ["random", "one_cell"])
def test_a_million_points_stay_exact(backend: str, case: str) -> None:
    if backend == "torch" and case == "one_cell":
        pytest.skip("embedding_bag keeps one plain float sum; 1e-5 over a million terms is not promised")
    shape, channels = (2, 1, 32768, 2, 8), 8
    depth, context, cells, weight = frustum(shape, GRID, channels, case)
    context = context.abs()  # terms of one sign, where a plain float sum drifts
    truth = pool_depth("reference", depth.double(), context.double(), cells, GRID, weight)
    assert_close(pool_depth(backend, depth, context, cells, GRID, weight), truth)


def test_a_million_loose_points_stay_exact(backend: str) -> None:
    generator = torch.Generator().manual_seed(0)
    feats, cells = torch.rand(1_000_000, 4, generator=generator), torch.tensor([1, 2, 4]).expand(1_000_000, 3)
    if backend == "torch":
        cells = CELLS["random"](1_000_000, generator)
    weight = torch.randn(GRID[0], 4, *GRID[1:], generator=generator)
    truth = pool_points("reference", feats.double(), cells, weight)
    assert_close(pool_points(backend, feats, cells, weight), truth)


def test_memory_layout_does_not_matter(backend: str) -> None:
    shape = (2, 3, 5, 2, 3)
    depth, context, cells, weight = frustum(shape, GRID, 8)
    strided = depth.permute(4, 3, 2, 1, 0).contiguous().permute(4, 3, 2, 1, 0)
    doubled = torch.stack([context, context], dim=-1)[..., 0]
    out_weight = weight.contiguous(memory_format=torch.channels_last)
    assert not strided.is_contiguous() and not doubled.is_contiguous()
    truth = pool_depth("reference", depth.double(), context.double(), cells, GRID, weight)
    assert_close(pool_depth(backend, strided, doubled, cells.transpose(3, 4).contiguous().transpose(3, 4), GRID,
                            out_weight), truth)  # fmt: skip
    feats = torch.randn(2 * 50, 3)[::2].t().contiguous().t()
    points = CELLS["random"](50, torch.Generator().manual_seed(1))
    weight = torch.randn(GRID[0], 3, *GRID[1:])
    assert_close(pool_points(backend, feats, points, weight), pool_points("reference", feats.double(), points, weight))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_summed_in_float(backend: str, dtype: torch.dtype) -> None:
    depth, context, cells, weight = frustum((2, 2, 32, 4, 4), GRID, 8)
    depth, context = depth.to(dtype), context.to(dtype)
    truth = pool_depth("reference", depth.double(), context.double(), cells, GRID, weight.to(dtype))
    values = pool_depth(backend, depth, context, cells, GRID, weight.to(dtype))
    assert all(value.dtype == dtype for value in values)
    assert_close(values, truth, rtol=4 * torch.finfo(dtype).eps)


def test_depth_in_float_and_context_in_half_give_float(backend: str) -> None:
    depth, context, cells, _ = frustum((2, 2, 3, 4, 4), GRID, 8)
    device = device_of(backend)
    plan = BEVPoolPlan.build(cells.to(device), GRID)
    out = bev_pool_depth(depth.to(device), context.to(device, torch.bfloat16), plan, backend=backend)
    assert out.dtype == torch.float32


def test_gradcheck(backend: str) -> None:
    depth, context, cells, _ = frustum((2, 1, 3, 2, 2), GRID, 3)
    device = device_of(backend)
    plan = BEVPoolPlan.build(cells.to(device), GRID)
    inputs = [tensor.double().to(device).requires_grad_() for tensor in (depth, context)]
    assert torch.autograd.gradcheck(lambda *x: bev_pool_depth(*x, plan, backend), inputs, fast_mode=True)
    feats = torch.randn(12, 3, dtype=torch.double, device=device, requires_grad=True)
    points = CELLS["random"](12, torch.Generator().manual_seed(0)).to(device)
    assert torch.autograd.gradcheck(lambda x: bev_pool(x, points, GRID, backend), feats, fast_mode=True)


def test_only_one_input_may_need_a_gradient(backend: str) -> None:
    depth, context, cells, _ = frustum((2, 1, 3, 2, 2), GRID, 8)
    device = device_of(backend)
    plan = BEVPoolPlan.build(cells.to(device), GRID)
    context = context.to(device).requires_grad_()
    bev_pool_depth(depth.to(device), context, plan, backend).sum().backward()
    assert context.grad is not None


def test_the_same_bits_for_any_number_of_threads() -> None:
    depth, context, cells, weight = frustum((2, 2, 40, 8, 20), GRID, 80)
    feats, points = torch.randn(3000, 80), CELLS["random"](3000, torch.Generator().manual_seed(0))
    threads = torch.get_num_threads()
    results = []
    try:
        for number in (1, 2, 3, 8):
            torch.set_num_threads(number)
            results.append(
                pool_depth("cpu", depth, context, cells, GRID, weight)
                + pool_points("cpu", feats, points, torch.ones(2, 80, 3, 5))
            )
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_wrong_shapes_and_devices_are_refused() -> None:
    depth, context, cells, _ = frustum((2, 1, 3, 2, 2), GRID, 8)
    plan = BEVPoolPlan.build(cells, GRID)
    with pytest.raises(ValueError, match=r"built for depth \(2, 1, 3, 2, 2\)"):
        bev_pool_depth(depth[:, :, :2], context, plan)
    with pytest.raises(ValueError, match="context"):
        bev_pool_depth(depth, context[..., :1], plan)
    with pytest.raises(ValueError, match="move the plan"):
        bev_pool_depth(depth.to("meta"), context.to("meta"), plan)
    with pytest.raises(ValueError, match=r"\(M, C\) and \(M, 3\)"):
        bev_pool(torch.zeros(4, 2), torch.zeros(3, 3, dtype=torch.long), GRID)
