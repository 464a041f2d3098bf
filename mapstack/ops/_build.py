"""Compile the C++ and CUDA libraries on first use and keep them: no PyTorch header, so it takes seconds.

A library's file name carries a hash of its sources, its flags, its compiler's version and, for native code, the
processor; a change of any builds another. Several processes may ask at once: one compiles, the others wait.
"""

import ctypes
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import BackendUnavailable

__all__ = ["CUDA_ARCHITECTURES", "Recipe", "build", "cache_dir", "find", "load", "obstacle", "recipe"]

CSRC = Path(__file__).parent / "csrc"
CUDA_ARCHITECTURES = ("80", "86", "87", "89", "90")
CPU_FLAGS = ("-std=c++17", "-O2", "-march=native", "-ffp-contract=fast", "-fopenmp", "-fPIC", "-shared")
CUDA_FLAGS = ("-std=c++17", "-O3", "--threads=2", "-Xcompiler", "-fPIC", "-shared")

_opened: dict["Recipe", ctypes.CDLL] = {}
_failures: dict["Recipe", str] = {}


@dataclass(frozen=True)
class Recipe:
    """How one library is made.

    Args:
        name: "cpu" or "cuda".
        compiler: name or path of g++, clang++ or nvcc.
        source: file in csrc; the headers beside it belong to it.
        flags: all but the input and the output.
        remedy: what to do where the compiler is missing.
    """

    name: str
    compiler: str
    source: str
    flags: tuple[str, ...]
    remedy: str


def recipe(name: str, architectures: tuple[str, ...] = CUDA_ARCHITECTURES) -> Recipe:
    """How the library ``name`` is made here.

    Args:
        name: "cpu" ($CXX, else g++) or "cuda" ($MAPSTACK_NVCC, else nvcc).
        architectures: compute capabilities without the dot, "80" for sm_80; for "cuda" only.
    """
    if name == "cpu":
        compiler = os.environ.get("CXX", "g++")
        remedy = "install g++ (apt install g++) or point CXX at a C++17 compiler"
        return Recipe(name, compiler, "bev_pool_cpu.cpp", CPU_FLAGS, remedy)
    if name == "cuda":
        compiler = os.environ.get("MAPSTACK_NVCC", "nvcc")
        targets = tuple(f"-gencode=arch=compute_{arch},code=sm_{arch}" for arch in architectures)
        remedy = "install the CUDA toolkit, or point MAPSTACK_NVCC at nvcc"
        return Recipe(name, compiler, "bev_pool_cuda.cu", CUDA_FLAGS + targets, remedy)
    raise ValueError(f"no library {name!r}; choose cpu or cuda")


def cache_dir() -> Path:
    """Where built libraries are kept: $MAPSTACK_OPS_CACHE, else ~/.cache/mapstack/ops (by the XDG rule)."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("MAPSTACK_OPS_CACHE") or Path(base) / "mapstack" / "ops").expanduser()


@cache
def _compiler_version(path: str) -> str:
    return subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout


@cache
def _processor() -> str:
    """What -march=native depends on: the machine, and the instruction sets that Linux lists."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine() + platform.processor()
    return platform.machine() + next((line for line in lines if line.startswith(("flags", "Features"))), "")


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _stem(how: Recipe) -> str:
    """The part of the file name that does not depend on the compiler."""
    sources = [file.name + file.read_text() for file in sorted([CSRC / how.source, *CSRC.glob("*.h")])]
    processor = _processor() if "-march=native" in how.flags else ""
    return f"mapstack_{how.name}_{_digest(*sources, *how.flags, processor)}"


def find(how: Recipe) -> Path | None:
    """The library if it is built: by this compiler, or by any where none is installed (a runtime image)."""
    if compiler_path := shutil.which(how.compiler):
        library = cache_dir() / f"{_stem(how)}_{_digest(_compiler_version(compiler_path))}.so"
        return library if library.exists() else None
    return next(iter(sorted(cache_dir().glob(f"{_stem(how)}_*.so"))), None)


def obstacle(how: Recipe) -> str | None:
    """Say why the library cannot be had, or None; compiles nothing."""
    if how in _opened:
        return None
    if how in _failures:
        return _failures[how]
    if shutil.which(how.compiler) is None and find(how) is None:
        return f"no compiler: {how.compiler!r} is not on the PATH; {how.remedy}"
    return None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released when the file closes, also by a process that is killed
        yield


def build(how: Recipe) -> Path:
    """Compile the library unless it is there already, and return its path.

    Raises:
        BackendUnavailable: no compiler, or it failed; the message holds the end of what it said.
    """
    if reason := obstacle(how):
        raise BackendUnavailable(f"the {how.name} library cannot be built: {reason}")
    if library := find(how):
        return library
    compiler_path = str(shutil.which(how.compiler))
    library = cache_dir() / f"{_stem(how)}_{_digest(_compiler_version(compiler_path))}.so"
    try:
        with _locked(library.with_suffix(".lock")):
            if not library.exists():  # another process may have built it while this one waited
                _compile(how, compiler_path, library)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        _failures[how] = f"{how.compiler} failed to build {how.source} in {cache_dir()}: {said[-2000:].strip()}"
        raise BackendUnavailable(_failures[how]) from error
    return library


def _compile(how: Recipe, compiler_path: str, library: Path) -> None:
    unfinished = library.with_suffix(f".{os.getpid()}.tmp")
    command = [compiler_path, *how.flags, str(CSRC / how.source), "-o", str(unfinished)]
    try:
        subprocess.run(command, capture_output=True, text=True, check=True)
        unfinished.replace(library)  # whole or not at all
    finally:
        unfinished.unlink(missing_ok=True)


def load(how: Recipe) -> ctypes.CDLL:
    """Build the library if need be, and open it once.

    Raises:
        BackendUnavailable: it cannot be built or opened.
    """
    if how not in _opened:
        library = build(how)
        try:
            _opened[how] = ctypes.CDLL(str(library))
        except OSError as error:
            _failures[how] = f"{library} cannot be opened: {error}"
            raise BackendUnavailable(_failures[how]) from error
    return _opened[how]
