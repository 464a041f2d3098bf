"""The CUDA source, run lane by lane on the CPU: there is no GPU in CI, and its indices must be right all the same."""

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mapstack.ops import BEVPoolPlan, _build
from mapstack.ops.bev_pool import compiled
from mapstack.ops.bev_pool.plan import feature_rows, sort_by_torch

from .test_bev_pool import CELLS, GRID, assert_close, frustum, pool_depth, pool_points

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")

LAUNCH = re.compile(r"(\w+<[\w, ]*>)<<<([^;]*?), 0, [^;]*?>>>\(")
ROWS, COLS = GRID[0] * GRID[1], GRID[2]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("cuda_on_cpu")
    source = (_build.CSRC / "bev_pool_cuda.cu").read_text()
    source, launches = LAUNCH.subn(r"launch(&\1, \2, ", source)
    assert launches == source.count("launch(&") == 4 and "<<<" not in source
    source = re.sub(r"#include <cuda_\w+.h>\n", "", source)
    (folder / "emulated.cpp").write_text('#include "cuda_on_cpu.h"\n' + source)
    flags = ["-std=c++17", "-O0", "-fPIC", "-shared", "-w", f"-I{_build.CSRC}", f"-I{Path(__file__).parent}"]
    subprocess.run(["g++", *flags, str(folder / "emulated.cpp"), "-o", str(folder / "emulated.so")], check=True)
    return ctypes.CDLL(str(folder / "emulated.so"))


@pytest.fixture
def kernels(library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> compiled._Compiled:
    monkeypatch.setattr(_build, "load", lambda how: library)
    return compiled._Compiled()


def shaped(rows: Tensor) -> Tensor:
    """(cells, C) to (B, C, H, W)."""
    return rows.view(*GRID, -1).permute(0, 3, 1, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("channels", [1, 6, 19, 64, 80, 256, 320])
def test_fused_kernels(kernels: compiled._Compiled, dtype: torch.dtype, channels: int) -> None:
    depth, context, cells, weight = (x.to(dtype) for x in frustum((2, 2, 3, 3, 3), GRID, channels))
    plan = BEVPoolPlan.build(cells.long(), GRID)
    truth = pool_depth("reference", depth.double(), context.double(), cells.long(), GRID, weight)
    rows, grad = feature_rows(context).contiguous(), weight.permute(0, 2, 3, 1).reshape(-1, channels).contiguous()
    out = kernels.pool_depth(depth, rows, tuple(sort_by_torch(plan)), ROWS, COLS)
    depth_grad, rows_grad = kernels.pool_depth_gradients(grad, depth, rows, plan.cell_ids)
    values = [shaped(out), depth_grad, rows_grad.view(2, 2, 3, 3, channels).permute(0, 1, 4, 3, 2)]
    assert all(value.dtype == dtype for value in values)
    # past 256 channels the warp adds to a weight's gradient that it has already rounded to the stored type
    assert_close(values, truth, rtol=max(4 * torch.finfo(dtype).eps, 1e-6))


@pytest.mark.parametrize("case", CELLS)
@pytest.mark.parametrize("channels", [1, 6, 64])
def test_loose_point_kernels(kernels: compiled._Compiled, case: str, channels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    feats, cells = torch.randn(300, channels, generator=generator), CELLS[case](300, generator)
    weight = torch.randn(GRID[0], channels, *GRID[1:], generator=generator)
    truth = pool_points("reference", feats.double(), cells, weight)
    plan = BEVPoolPlan.build(cells.view(1, 1, 1, 1, 300, 3), GRID)  # one row of pixels: points in their order
    points = sort_by_torch(plan)
    out = kernels.pool(feats, points.row_ids, points.offsets, ROWS, COLS)
    back = kernels.gather(weight.permute(0, 2, 3, 1).reshape(-1, channels).contiguous(), plan.cell_ids)
    assert_close([shaped(out), back], truth)


def test_misaligned_rows_take_the_narrow_kernel(kernels: compiled._Compiled) -> None:
    depth, context, cells, weight = frustum((2, 2, 3, 3, 3), GRID, 64)
    plan = BEVPoolPlan.build(cells, GRID)
    rows = feature_rows(context)
    shifted = torch.empty(rows.numel() + 1)[1:].view(rows.shape).copy_(rows)
    assert shifted.data_ptr() % 16 and shifted.is_contiguous()
    out = kernels.pool_depth(depth, shifted, tuple(sort_by_torch(plan)), ROWS, COLS)
    assert_close([shaped(out)], pool_depth("reference", depth.double(), context.double(), cells, GRID, weight)[:1])
