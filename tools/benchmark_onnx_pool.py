"""Four ways to write a BEV sum in ONNX, timed in ONNX Runtime: why the reference is what it is.

python tools/benchmark_onnx_pool.py [--sizes bevdet maptr] [--rounds 5]
"""

import argparse
import os
import statistics
import time

import onnxruntime
import torch
from torch import Tensor, nn

from mapstack.ops import BEVPoolPlan, bev_pool_depth
from mapstack.ops.benchmark import SIZES, Size
from mapstack.ops.bev_pool.plan import feature_rows


def lift(depth: Tensor, context: Tensor) -> Tensor:
    return (depth.unsqueeze(-1) * context.permute(0, 1, 3, 4, 2).unsqueeze(2)).flatten(0, 4)


class Pool(nn.Module):
    """Depth, context and sorted points in, (cells, C) out, by one of FORMS."""

    def __init__(self, form: str, num_cells: int) -> None:
        super().__init__()
        self.form, self.num_cells = form, num_cells

    def forward(
        self, depth: Tensor, context: Tensor, ids: Tensor, depth_ids: Tensor, row_ids: Tensor, offsets: Tensor
    ) -> Tensor:
        """Sum the weighted rows into cells, (cells, C), in this form's operators."""
        if self.form == "sorted segments: CumSum and differences":
            rows = feature_rows(context)[row_ids] * depth.reshape(-1)[depth_ids][:, None]
            sums = torch.cat([torch.zeros_like(rows[:1]), rows.cumsum(0)])
            return sums[offsets[1:]] - sums[offsets[:-1]]
        pooled = context.new_zeros(self.num_cells + 1, context.shape[2])
        if self.form == "ScatterND, one per depth bin":
            rows, bins = context.permute(0, 1, 3, 4, 2), ids.view(depth.shape)
            for d in range(depth.shape[2]):
                weighted = (depth[:, :, d].unsqueeze(-1) * rows).flatten(0, 3)
                pooled = pooled.index_put((bins[:, :, d].reshape(-1),), weighted, accumulate=True)
            return pooled[:-1]
        rows = lift(depth, context)
        if self.form == "ScatterND of whole rows":
            return pooled.index_put((ids,), rows, accumulate=True)[:-1]
        return pooled.scatter_add(0, ids[:, None].expand_as(rows), rows)[:-1]


FORMS = (
    "ScatterND of whole rows",
    "ScatterND, one per depth bin",
    "sorted segments: CumSum and differences",
    "ScatterElements",
)


def inputs(size: Size) -> tuple[tuple[Tensor, ...], Tensor]:
    plan = BEVPoolPlan.build(size.cells(), size.grid_shape)
    depth = torch.rand(plan.frustum_shape).softmax(2)
    context = torch.randn(*plan.frustum_shape[:2], size.channels, *size.features)
    points = tuple(tensor.long() for tensor in plan.sorted_points())
    truth = bev_pool_depth(depth.double(), context.double(), plan, "reference")
    return (depth, context, plan.cell_ids.long(), *points), truth.permute(0, 2, 3, 1).flatten(0, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["bevdet", "maptr"])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"ONNX Runtime {onnxruntime.__version__}, 1 thread, load {os.getloadavg()[0]:.1f}, CPU milliseconds")
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    for name in options.sizes:
        tensors, truth = inputs(SIZES[name])
        for form in FORMS:
            model = Pool(form, len(truth)).eval()
            program = torch.onnx.export(model, tensors, dynamo=True, opset_version=18, verbose=False)
            session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), settings)
            named = zip(("depth", "context", "ids", "depth_ids", "row_ids", "offsets"), tensors, strict=True)
            wanted = {node.name for node in session.get_inputs()}
            feed = {key: tensor.numpy() for key, tensor in named if key in wanted}
            times = []
            for _ in range(options.rounds + 1):
                start = time.process_time()
                (out,) = session.run(None, feed)
                times.append((time.process_time() - start) * 1e3)
            error = (torch.from_numpy(out) - truth).abs().max() / truth.abs().max()
            print(f"| {name} | {form} | {statistics.median(times[1:]):.1f} | {error:.1e} |", flush=True)


if __name__ == "__main__":
    main()
