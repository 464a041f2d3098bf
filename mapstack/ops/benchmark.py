"""Time BEV pools side by side, at the sizes of published models: what ``tools/benchmark_ops.py`` prints.

The baselines are how the field pools without a fused op: lift every frustum point, keep those inside, then add.
"""

import ctypes
import gc
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from . import available_backends, bev_pool_depth
from .bev_pool import BEVPoolPlan

__all__ = ["SIZES", "Measurement", "Size", "copy_gb_s", "measure"]


@dataclass(frozen=True)
class Size:
    """One model's view transformer on nuScenes: six cameras, their frustum, and the ground they cover.

    Args:
        depth_m: (first, last, step), metres.
        image_px: (height, width) that the features cover.
        features: (height, width) of the feature map.
        channels: C.
        half_side_m: the BEV reaches this far along x and y from the ego vehicle.
        cell_m: edge of a cell.
    """

    depth_m: tuple[float, float, float]
    image_px: tuple[int, int]
    features: tuple[int, int]
    channels: int
    half_side_m: tuple[float, float]
    cell_m: float

    @property
    def grid_shape(self) -> tuple[int, int, int]:
        """(1, rows, cols)."""
        return 1, round(2 * self.half_side_m[1] / self.cell_m), round(2 * self.half_side_m[0] / self.cell_m)

    def cells(self) -> Tensor:
        """(1, V, D, H, W, 3) int64: where a nuScenes-like frustum falls; heights beyond 10 m nowhere."""
        height, width = self.features
        depth = torch.arange(*self.depth_m).view(-1, 1, 1)
        u = (torch.arange(width) + 0.5) * self.image_px[1] / width - self.image_px[1] / 2
        v = (torch.arange(height) + 0.5).view(-1, 1) * self.image_px[0] / height - self.image_px[0] / 2
        views = []
        for yaw_deg in (0, -55, 55, 180, 110, -110):
            focal = (800 if yaw_deg == 180 else 1266) * self.image_px[1] / 1600  # the rear camera is a wide one
            yaw, right, down = math.radians(yaw_deg), depth * u / focal, (depth * v / focal).expand(-1, -1, width)
            x = math.cos(yaw) * (depth + 1.0) + math.sin(yaw) * right + 0.7
            y = math.sin(yaw) * (depth + 0.5) - math.cos(yaw) * right
            ground = [
                ((c + h) / self.cell_m).floor().long() for c, h in zip((y, x), self.half_side_m[::-1], strict=True)
            ]
            row, col = (cell.expand(-1, height, -1) for cell in ground)
            views.append(torch.stack([torch.zeros_like(row), torch.where((1.5 - down).abs() < 10, row, -1), col], -1))
        return torch.stack(views)[None]


SIZES = {
    "maptr": Size((1.0, 35.0, 0.5), (480, 800), (15, 25), 256, (30.0, 15.0), 0.3),
    "bevfusion": Size((1.0, 60.0, 0.5), (256, 704), (32, 88), 80, (54.0, 54.0), 0.3),
    "bevdet": Size((1.0, 60.0, 1.0), (256, 704), (16, 44), 64, (51.2, 51.2), 0.8),
}
"""MapTRv2's and BEVFusion's LSS (200 x 100 and 360 x 360 cells), and BEVDet-R50's (128 x 128)."""


def _lift(depth: Tensor, context: Tensor, plan: BEVPoolPlan) -> tuple[Tensor, Tensor]:
    lifted = (depth.unsqueeze(-1) * context.permute(0, 1, 3, 4, 2).unsqueeze(2)).flatten(0, 4)
    ids = plan.cell_ids.long()
    kept = ids < plan.num_cells
    return lifted[kept], ids[kept]


def _bev(rows: Tensor, plan: BEVPoolPlan) -> Tensor:
    return rows.view(*plan.grid_shape, -1).permute(0, 3, 1, 2)


def index_add(depth: Tensor, context: Tensor, plan: BEVPoolPlan) -> Tensor:
    """Lift, mask, ``index_add_``."""
    rows, ids = _lift(depth, context, plan)
    return _bev(rows.new_zeros(plan.num_cells, rows.shape[1]).index_add(0, ids, rows), plan)


def scatter_add(depth: Tensor, context: Tensor, plan: BEVPoolPlan) -> Tensor:
    """Lift, mask, ``scatter_add_``."""
    rows, ids = _lift(depth, context, plan)
    index = ids[:, None].expand_as(rows)
    return _bev(rows.new_zeros(plan.num_cells, rows.shape[1]).scatter_add(0, index, rows), plan)


def cumulative_sum(depth: Tensor, context: Tensor, plan: BEVPoolPlan) -> Tensor:
    """Lift, mask, sort by cell, running sum, differences: the trick of lift-splat-shoot."""
    rows, ids = _lift(depth, context, plan)
    ids, order = ids.sort()
    sums = rows[order].cumsum(0)
    last = torch.ones_like(ids, dtype=torch.bool)
    last[:-1] = ids[1:] != ids[:-1]
    sums = sums[last]
    sums = torch.cat([sums[:1], sums[1:] - sums[:-1]])
    return _bev(rows.new_zeros(plan.num_cells, rows.shape[1]).index_copy(0, ids[last], sums), plan)


BASELINES = {"index_add": index_add, "scatter_add": scatter_add, "cumulative sum": cumulative_sum}


@dataclass(frozen=True)
class Measurement:
    """One way of pooling at one size.

    ``forward_ms`` and ``both_ms`` (forward and backward, both inputs) are medians; ``gb_s`` is what the forward moves
    at least if nothing is cached, 4 * C * (points + cells) bytes; ``peak_mb`` what forward and backward add to the
    process's memory; ``error`` the largest difference from the float64 reference, relative to its largest value.
    """

    name: str
    forward_ms: float
    both_ms: float
    gb_s: float
    peak_mb: float
    error: float


def copy_gb_s(device: torch.device) -> float:
    """Bandwidth of copying 256 MiB, read plus write."""
    source = torch.rand(64 * 2**20, device=device)
    target = torch.empty_like(source)
    milliseconds = statistics.median(_time(lambda: target.copy_(source), device) for _ in range(7))
    return 2 * source.numel() * 4 / milliseconds / 1e6


def _time(function: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) * 1e3


def _peak_mb(function: Callable[[], object], device: torch.device) -> float:
    """What ``function`` adds to the memory in use at its peak; on a CPU as Linux counts pages, NaN elsewhere."""
    function()
    gc.collect()
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        function()
        return (torch.cuda.max_memory_allocated(device) - before) / 1e6
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not reset.exists():
        return math.nan
    ctypes.CDLL(None).malloc_trim(0)  # or freed memory would be used again, unseen
    reset.write_text("5")
    before = _status_kb(status, "VmRSS")
    function()
    return (_status_kb(status, "VmHWM") - before) / 1e3


def _status_kb(status: Path, field: str) -> int:
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(field))


def measure(size: Size, device: torch.device, rounds: int, skip: tuple[str, ...] = ()) -> list[Measurement]:
    """Time every backend and baseline, in turn within each round, so that a busy moment hits them alike.

    Args:
        size: one of :data:`SIZES`.
        device: where to run.
        rounds: how often each is measured.
        skip: names to leave out.
    """
    generator = torch.Generator().manual_seed(0)
    plan = BEVPoolPlan.build(size.cells().to(device), size.grid_shape)
    _, views, _, height, width = plan.frustum_shape
    depth = torch.rand(plan.frustum_shape, generator=generator).softmax(2)
    context = torch.randn(1, views, size.channels, height, width, generator=generator)
    truth = bev_pool_depth(depth.double().to(device), context.double().to(device), plan, "reference")
    leaves = [tensor.to(device).requires_grad_() for tensor in (depth, context)]
    grad = torch.randn(truth.shape, generator=generator).to(device, memory_format=torch.channels_last)
    functions = {name: _backend(name) for name in available_backends("bev_pool", device)} | BASELINES
    functions = {name: function for name, function in functions.items() if name not in skip}
    forward = {name: lambda f=f: f(*(x.detach() for x in leaves), plan) for name, f in functions.items()}
    both = {name: lambda f=f: torch.autograd.grad(f(*leaves, plan), leaves, grad) for name, f in functions.items()}
    scale = float(truth.abs().max())
    errors = {name: float((call() - truth).abs().max()) / scale for name, call in forward.items()}
    peaks = {name: _peak_mb(call, device) for name, call in both.items()}
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in functions}
    for _ in range(rounds):
        for name, (forward_ms, both_ms) in times.items():
            forward[name]()  # unmeasured: the memory that the one before gave back has first to be had again
            forward_ms.append(_time(forward[name], device))
            both_ms.append(_time(both[name], device))
    moved = 4 * size.channels * (int((plan.cell_ids < plan.num_cells).sum()) + plan.num_cells)
    medians = {name: [statistics.median(values) for values in pair] for name, pair in times.items()}
    return [
        Measurement(name, ms, both_ms, moved / ms / 1e6, peaks[name], errors[name])
        for name, (ms, both_ms) in medians.items()
    ]


def _backend(name: str) -> Callable[[Tensor, Tensor, BEVPoolPlan], Tensor]:
    return lambda depth, context, plan: bev_pool_depth(depth, context, plan, name)
