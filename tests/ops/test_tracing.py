"""Custom ops under opcheck, torch.compile, torch.export and the ONNX exporter."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from mapstack.ops import (
    BEVPoolPlan,
    bev_pool,
    bev_pool_depth,
    gather_from_canvas,
    multi_scale_deformable_attention,
    scatter_to_canvas,
)

from .conftest import device_of, require
from .test_bev_pool import GRID, frustum

SHAPE = (2, 2, 3, 4, 5)


class Pool(nn.Module):
    """Builds its plan in the graph, as an exported model with calibration inputs does."""

    def __init__(self, backend: str) -> None:
        super().__init__()
        self.backend = backend

    def forward(self, depth: Tensor, context: Tensor, cells: Tensor) -> Tensor:
        return bev_pool_depth(depth, context, BEVPoolPlan.build(cells, GRID), self.backend) * 2


@pytest.mark.parametrize("backend", ["cpu", "triton"])
def test_opcheck(backend: str) -> None:
    device = device_of(require(backend))
    shape, grid = (1, 2, 3, 2, 2), (1, 2, 3)
    depth, context, cells, _ = frustum(shape, grid, 8)
    depth, plan = depth.to(device), BEVPoolPlan.build(cells.to(device), grid)
    bev_pool_depth(depth, context.to(device), plan, backend)  # registers the ops
    rows, grad = torch.randn(8, 8, device=device), torch.randn(6, 8, device=device)
    ids, order, offsets = plan.cell_ids[:8].clone(), torch.zeros_like(plan.cell_ids[:8]), plan.cell_ids.new_zeros(7)
    ops, prefix = torch.ops.mapstack, "bev_pool" if backend == "cpu" else "triton_bev_pool"
    check = torch.library.opcheck
    check(getattr(ops, f"{prefix}_depth_gradients"), (grad, depth, rows, plan.cell_ids))
    check(getattr(ops, f"{prefix}_gradient"), (grad, ids))
    rows, depth = rows.requires_grad_(), depth.requires_grad_()
    check(getattr(ops, f"{prefix}_depth"), (depth, rows, plan.cell_ids, *plan.sorted_points(), 2, 3))
    check(getattr(ops, prefix), (rows, ids, order, offsets, 2, 3))
    if backend == "cpu":
        check(ops.sort_frustum, (plan.cell_ids, list(shape), 6))
        check(ops.sort_points, (ids, 6))


@pytest.mark.parametrize("backend", ["cpu", "torch"])
def test_compiles_whole_with_gradients(backend: str) -> None:
    depth, context, cells, _ = frustum(SHAPE, GRID, 8)
    plan, feats = BEVPoolPlan.build(cells, GRID), torch.randn(20, 8)
    points = cells.view(-1, 3)[:20]

    def run(depth: Tensor, context: Tensor, feats: Tensor) -> Tensor:
        fused = bev_pool_depth(depth, context, plan, backend) + Pool(backend)(depth, context, cells)
        largest = scatter_to_canvas(feats, points, GRID, "max", "cpu" if backend == "cpu" else "reference")
        return fused * 3 + bev_pool(feats, points, GRID, backend) + largest

    results = []
    for function in (run, torch.compile(run, fullgraph=True, backend="aot_eager")):
        inputs = [tensor.clone().requires_grad_() for tensor in (depth, context, feats)]
        out = function(*inputs)
        results.append([out, *torch.autograd.grad(out.square().sum(), inputs)])
    torch.testing.assert_close(results[1], results[0])


def test_auto_compiles_whole() -> None:
    depth, context, cells, _ = frustum(SHAPE, GRID, 8)
    compiled = torch.compile(Pool("auto"), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(depth, context, cells), Pool("reference")(depth, context, cells))


@pytest.mark.parametrize("backend", ["cpu", "torch", "reference"])
def test_exports(backend: str) -> None:
    depth, context, cells, _ = frustum(SHAPE, GRID, 8)
    program = torch.export.export(Pool(backend), (depth, context, cells))
    other = cells.flip(2)
    torch.testing.assert_close(
        program.module()(depth, context, other), Pool("reference")(depth, context, other), rtol=1e-5, atol=1e-5
    )


class Deployed(nn.Module):
    """Every op in the form that a vehicle runs."""

    def forward(
        self, depth: Tensor, context: Tensor, cells: Tensor, feats: Tensor, points: Tensor, locations: Tensor
    ) -> tuple[Tensor, ...]:
        bev = Pool("auto")(depth, context, cells)
        largest = scatter_to_canvas(feats, points, GRID, "max")
        mean = gather_from_canvas(scatter_to_canvas(feats, points, GRID, "mean"), points)
        weights = locations.sum(-1).flatten(-2).softmax(-1).unflatten(-1, locations.shape[3:5])
        value = bev.flatten(2).transpose(1, 2).unflatten(-1, (4, 2))
        return bev, largest, mean, multi_scale_deformable_attention(value, [GRID[1:]], locations, weights)


def test_onnx_runtime_agrees_also_with_other_points() -> None:
    generator = torch.Generator().manual_seed(0)
    depth, context, cells, _ = frustum(SHAPE, GRID, 8)

    def inputs(num_points: int) -> tuple[Tensor, ...]:
        points = torch.stack([torch.randint(-1, n + 1, (num_points,), generator=generator) for n in GRID], 1)
        locations = torch.rand(2, 6, 4, 1, 3, 2, generator=generator) * 1.4 - 0.2
        return depth, context, cells, torch.randn(num_points, 5, generator=generator), points, locations

    points = torch.export.Dim("points", min=1)
    program = torch.onnx.export(
        Deployed().eval(),
        inputs(40),
        dynamo=True,
        opset_version=18,
        verbose=False,
        dynamic_shapes=(None, None, None, {0: points}, {0: points}, None),
    )
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    names = [node.name for node in session.get_inputs()]
    for num_points in (40, 7):
        tensors = inputs(num_points)
        outputs = session.run(None, {name: x.numpy() for name, x in zip(names, tensors, strict=True)})
        for output, expected in zip(outputs, Deployed()(*tensors), strict=True):
            np.testing.assert_allclose(output, expected.numpy(), rtol=1e-5, atol=1e-5)


class Crowded(nn.Module):
    """Every exported reduction over many points in few cells."""

    def forward(self, depth: Tensor, context: Tensor, cells: Tensor, feats: Tensor, points: Tensor) -> Tensor:
        reduced = [scatter_to_canvas(feats, points, (1, 4, 5), name) for name in ("sum", "mean", "max")]
        plan = BEVPoolPlan.build(cells, (1, 4, 5))
        return torch.cat([*reduced, bev_pool(feats, points, (1, 4, 5)), bev_pool_depth(depth, context, plan)], 1)


def test_onnx_runtime_loses_nothing_when_threads_meet_in_a_cell() -> None:
    """ScatterND with a reduction lost every tenth point here: its kernel adds from several threads without a lock."""
    generator = torch.Generator().manual_seed(0)
    cells = torch.stack([torch.randint(0, n, (1, 2, 20, 30, 40), generator=generator) for n in (1, 4, 5)], -1)
    depth = torch.rand(1, 2, 20, 30, 40, generator=generator)
    context = torch.randn(1, 2, 32, 30, 40, generator=generator)
    points = torch.stack([torch.randint(0, n, (50_000,), generator=generator) for n in (1, 4, 5)], -1)
    tensors = (depth, context, cells, torch.rand(50_000, 32, generator=generator), points)
    program = torch.onnx.export(Crowded().eval(), tensors, dynamo=True, opset_version=18, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 4
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), options)
    feed = {node.name: x.numpy() for node, x in zip(session.get_inputs(), tensors, strict=True)}
    exact = Crowded()(depth.double(), context.double(), cells, tensors[3].double(), points).numpy()
    for _ in range(3):
        np.testing.assert_allclose(session.run(None, feed)[0], exact, rtol=1e-5, atol=1e-4)
