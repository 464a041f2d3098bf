"""Choosing a backend, and building its library: nothing falls back unsaid, and processes do not trip each other."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from mapstack.errors import BackendUnavailable
from mapstack.ops import _backends, _build, available_backends, bev_pool, scatter_to_canvas
from mapstack.ops.build import compiler_release, main, ptxas_table

ROOT = Path(__file__).parents[2]
POINTS = torch.ones(2, 4), torch.zeros(2, 3, dtype=torch.long), (1, 2, 2)

needs_gpp = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
needs_nvcc = pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc")


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """As in a process that has built and opened nothing, with an empty cache folder."""
    monkeypatch.setattr(_build, "_opened", {})
    monkeypatch.setattr(_build, "_failures", {})
    monkeypatch.setattr(_backends, "_warned", set())
    monkeypatch.setenv("MAPSTACK_OPS_CACHE", str(tmp_path / "cache"))
    return monkeypatch


def test_without_a_compiler_auto_warns_once_and_takes_the_next(fresh: pytest.MonkeyPatch) -> None:
    fresh.setenv("CXX", "no-such-compiler")
    backends = available_backends("bev_pool")
    assert backends[0] == "torch" and "cpu" not in backends
    assert "no compiler: 'no-such-compiler'" in backends.obstacles["cpu"] and "no-such-compiler" in repr(backends)
    with pytest.warns(UserWarning, match="cpu backend cannot run, a slower one takes its place: no compiler") as seen:
        assert bev_pool(*POINTS)[0, 0, 0, 0] == 2
    assert len(seen) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bev_pool(*POINTS)
    with pytest.raises(BackendUnavailable, match="'cpu' cannot run on cpu: no compiler"):
        bev_pool(*POINTS, backend="cpu")


@needs_gpp
def test_a_failing_compiler_is_asked_once_and_its_words_are_shown(fresh: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken, calls = tmp_path / "broken", tmp_path / "calls"
    broken.write_text(f"#!/bin/sh\necho x >> {calls}\necho 'unknown option -fopenmp' >&2\nexit 1\n")
    broken.chmod(0o755)
    fresh.setenv("CXX", str(broken))
    for _ in range(2):
        with pytest.raises(BackendUnavailable, match="unknown option -fopenmp"):
            bev_pool(*POINTS, backend="cpu")
    assert len(calls.read_text().split()) == 2  # --version, and one attempt
    with pytest.warns(UserWarning, match="unknown option"):
        bev_pool(*POINTS)
    assert not list((tmp_path / "cache").glob("*.so")) and not list((tmp_path / "cache").glob("*.tmp"))


@needs_gpp
def test_a_library_built_ahead_needs_no_compiler(fresh: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert main(["cpu"]) == 0
    assert len(list((tmp_path / "cache").glob("mapstack_cpu_*.so"))) == 1
    fresh.setenv("CXX", "no-such-compiler")
    assert bev_pool(*POINTS, backend="cpu")[0, 0, 0, 0] == 2


@needs_gpp
def test_processes_that_build_at_once_make_one_library(tmp_path: Path) -> None:
    wrapper, calls = tmp_path / "counting", tmp_path / "calls"
    wrapper.write_text(f'#!/bin/sh\ncase "$*" in *bev_pool_cpu*) echo x >> {calls};; esac\nexec g++ "$@"\n')
    wrapper.chmod(0o755)
    environment = {**os.environ, "MAPSTACK_OPS_CACHE": str(tmp_path / "cache"), "CXX": str(wrapper),
                   "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}  # fmt: skip
    command = [sys.executable, "-m", "mapstack.ops.build", "cpu"]
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: subprocess.run(command, env=environment, capture_output=True), range(2)))
    assert [process.returncode for process in done] == [0, 0], done[0].stderr
    assert calls.read_text().split() == ["x"]


def test_a_change_of_source_flags_or_compiler_is_another_library(fresh: pytest.MonkeyPatch, tmp_path: Path) -> None:
    copy = tmp_path / "csrc"
    shutil.copytree(_build.CSRC, copy)
    fresh.setattr(_build, "CSRC", copy)
    names = {_build._stem(_build.recipe("cpu")), _build._stem(_build.recipe("cuda"))}
    names.add(_build._stem(_build.recipe("cuda", ("90",))))
    (copy / "bev_pool.h").write_text((copy / "bev_pool.h").read_text() + "// changed\n")
    names |= {_build._stem(_build.recipe("cpu")), _build._stem(_build.recipe("cuda"))}
    assert len(names) == 5


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown backend 'gpu'"):
        bev_pool(*POINTS, backend="gpu")
    with pytest.raises(ValueError, match="unknown op"):
        available_backends("bev_pol")
    with pytest.raises(ValueError, match="no library"):
        _build.recipe("hip")
    assert available_backends("deform_attn") == ("reference",)
    with pytest.raises(BackendUnavailable, match="voxelize has no triton backend"):
        scatter_to_canvas(torch.ones(2, 4), POINTS[1], (1, 2, 2), backend="triton")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu_says_so() -> None:
    with pytest.raises(BackendUnavailable, match="'cuda' cannot run on cpu: PyTorch sees no CUDA device"):
        bev_pool(*POINTS, backend="cuda")
    assert "no CUDA device" in available_backends("bev_pool").obstacles["cuda"]


@needs_nvcc
def test_cuda_library_compiles_for_every_architecture_without_a_spill(tmp_path: Path) -> None:
    table, library = ptxas_table(tmp_path)
    architectures = [f"sm_{name}" for name in _build.CUDA_ARCHITECTURES]
    assert architectures == ["sm_80", "sm_86", "sm_87", "sm_89", "sm_90"]
    assert [column.strip() for column in table.splitlines()[0].split("|")[2:-1]] == architectures
    rows = [row for row in table.splitlines()[2:] if row.startswith("|")]
    assert len(rows) == 74 and not any(re.search(r"spill|stack", row) for row in rows)
    kept = (ROOT / "docs" / "ptxas.md").read_text()
    if compiler_release() in kept:  # another release counts other registers
        assert table in kept, "the kernels changed: python -m mapstack.ops.build cuda --ptxas-report docs/ptxas.md"
    if not torch.cuda.is_available():
        opened = ctypes.CDLL(str(library))
        opened.mapstack_error.restype = ctypes.c_char_p
        shape, nothing = (ctypes.c_int32(1),) * 3, ctypes.c_void_p()
        code = opened.mapstack_pool(0, nothing, nothing, nothing, *shape, nothing, ctypes.c_int64(0))
        assert code and re.search(rb"CUDA (driver|device)|CUDA-capable", opened.mapstack_error(code))
