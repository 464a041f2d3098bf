"""The Triton kernels without a GPU: run by the interpreter, and compiled for real architectures."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")

ROOT = Path(__file__).parents[2]

COMPILE = """
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from mapstack.ops.bev_pool import triton as kernels

POINTERS = {"weights", "rows", "out", "grad_out", "depth", "depth_grad", "rows_grad"}
IDS = {"weight_ids", "row_ids", "offsets", "cell_ids"}
CONSTANTS = dict(weighted=True, sum_type=tl.float32, block_points=32, block_channels=64, block_bins=16, block=32,
                 width=64)
for kernel in (kernels._pool, kernels._gather, kernels._gradients):
    constants = {name: value for name, value in CONSTANTS.items() if name in kernel.arg_names}
    if kernel is kernels._gradients:
        constants.pop("width", None)  # there it is the frustum's
    for dtype in ("fp32", "fp16", "bf16"):
        signature = {name: "constexpr" if name in constants else "*" + dtype if name in POINTERS else
                     "*i32" if name in IDS else "i32" for name in kernel.arg_names}
        for architecture in (80, 90):
            source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
            assert triton.compile(source, target=GPUTarget("cuda", architecture, 32)).asm["cubin"]
"""


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="here the kernels run on the GPU instead")
def test_interpreted_kernels_match_the_reference() -> None:
    command = ["-m", "pytest", "-q", "-k", "triton", "-p", "no:cacheprovider"]
    tests = ["tests/ops/test_bev_pool.py", "tests/ops/test_tracing.py"]
    done = run([*command, *tests], TRITON_INTERPRET="1", MAPSTACK_REQUIRE_BACKENDS="triton")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_kernels_compile_for_ampere_and_hopper(tmp_path: Path) -> None:
    script = tmp_path / "compile_kernels.py"  # Triton reads kernels from a file, and -c has none
    script.write_text(COMPILE)
    done = run([str(script)], TRITON_INTERPRET="0")
    assert done.returncode == 0, done.stderr[-4000:]
