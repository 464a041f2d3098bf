"""Four ways to write a BEV sum in ONNX, timed in ONNX Runtime: why the ops trace to what they do.

python tools/benchmark_onnx_pool.py [--sizes bevdet maptr] [--threads 1 2] [--rounds 5]
"""

import argparse
import os
import statistics
import time

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from mapstack.export.tables import pool_tables
from mapstack.ops import BEVPoolPlan, BEVPoolTables, bev_pool_depth
from mapstack.ops.benchmark import SIZES, Size

FORMS = (
    "sorted segments (--pool graph)",
    "gather tables (--pool tables)",
    "ScatterND of whole rows",
    "ScatterElements along the last axis",
)
TABLES = ("mask", "level0", "level1", "level2", "cells")


class Pool(nn.Module):
    """Depth, context and cells in, (1, C, Hb, Wb) out, by one of FORMS."""

    def __init__(self, form: str, grid_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.form, self.grid_shape = form, grid_shape

    def forward(self, depth: Tensor, context: Tensor, *where: Tensor) -> Tensor:
        """Sum the weighted rows into cells in this form's operators."""
        if self.form == FORMS[1]:
            named = {f"pool_{name}": table for name, table in zip(TABLES, where, strict=True)}
            return BEVPoolTables.from_inputs(named, self.grid_shape[1:]).pool(depth, context)
        plan = BEVPoolPlan.build(*where, self.grid_shape)
        if self.form == FORMS[0]:
            return bev_pool_depth(depth, context, plan)
        rows = (depth.unsqueeze(-1) * context.permute(0, 1, 3, 4, 2).unsqueeze(2)).flatten(0, 4)
        pooled, ids = rows.new_zeros(plan.num_cells + 1, rows.shape[1]), plan.cell_ids.long()
        if self.form == FORMS[2]:
            pooled = pooled.index_put((ids,), rows, accumulate=True)
        else:
            pooled = pooled.T.scatter_add(1, ids[None].expand(rows.shape[1], -1), rows.T).T
        return pooled[:-1].unflatten(0, self.grid_shape).permute(0, 3, 1, 2)


def tables_of(cells: Tensor, grid_shape: tuple[int, int, int]) -> list[Tensor]:
    plan = BEVPoolPlan.build(cells, grid_shape)
    flat = plan.cell_ids.view(plan.frustum_shape).numpy()
    start = time.perf_counter()
    tables = pool_tables(np.where(flat < plan.num_cells, flat, -1), plan.num_cells)
    print(f"tables made in {(time.perf_counter() - start) * 1e3:.1f} ms", flush=True)
    return [torch.from_numpy(tables[f"pool_{name}"]) for name in TABLES]


def inputs(size: Size) -> tuple[tuple[Tensor, ...], Tensor]:
    cells = size.cells()
    plan = BEVPoolPlan.build(cells, size.grid_shape)
    depth = torch.rand(plan.frustum_shape).softmax(2)
    context = torch.randn(*plan.frustum_shape[:2], size.channels, *size.features)
    return (depth, context, cells), bev_pool_depth(depth.double(), context.double(), plan, "reference")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["bevdet", "maptr"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"ONNX Runtime {onnxruntime.__version__}, load {os.getloadavg()[0]:.1f}, median milliseconds, worst error")
    print("| size | form | threads | ms | largest error over the largest value |\n|---|---|--:|--:|--:|")
    for name in options.sizes:
        sensors, truth = inputs(SIZES[name])
        for form in FORMS:
            model, (depth, context, cells) = Pool(form, SIZES[name].grid_shape).eval(), sensors
            tensors = (depth, context, *(tables_of(cells, model.grid_shape) if form == FORMS[1] else [cells]))
            program = torch.onnx.export(model, tensors, dynamo=True, opset_version=18, verbose=False)
            for threads in options.threads:
                settings = onnxruntime.SessionOptions()
                settings.intra_op_num_threads = threads
                session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), settings)
                feed = {node.name: x.numpy() for node, x in zip(session.get_inputs(), tensors, strict=True)}
                times, error = [], 0.0
                for _ in range(options.rounds + 1):
                    start = time.perf_counter()
                    (out,) = session.run(None, feed)
                    times.append((time.perf_counter() - start) * 1e3)
                    error = max(error, float((torch.from_numpy(out) - truth).abs().max() / truth.abs().max()))
                print(f"| {name} | {form} | {threads} | {statistics.median(times[1:]):.1f} | {error:.0e} |", flush=True)


if __name__ == "__main__":
    main()
