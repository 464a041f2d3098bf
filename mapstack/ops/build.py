"""``python -m mapstack.ops.build [cpu] [cuda]``: compile ahead of the first use."""

import argparse
import logging
import re
import subprocess
import tempfile
from pathlib import Path

from ..errors import BackendUnavailable
from ._build import CSRC, CUDA_ARCHITECTURES, build, obstacle, recipe

__all__ = ["compiler_release", "main", "ptxas_table"]

PTXAS = re.compile(
    r"Compiling entry function '.*?(\w+<[^>]*>).*?' for '(sm_\d+)'.*?"
    r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers",
    re.DOTALL,
)
PTXAS_TITLE = """# What ptxas says of the CUDA kernels

Registers a thread; stack and spilled bytes would stand beside them, and a test fails if any do. What has run on a
GPU, and in what time, is in OPS.md and GPU_STATUS.md. {compiler}; made by

    python -m mapstack.ops.build cuda --ptxas-report docs/ptxas.md

"""

logger = logging.getLogger("mapstack.ops.build")


def ptxas_table(folder: Path, architectures: tuple[str, ...] = CUDA_ARCHITECTURES) -> tuple[str, Path]:
    """Compile the CUDA kernels and tabulate what ptxas says of each.

    Args:
        folder: receives the library.
        architectures: compute capabilities without the dot.

    Returns:
        A Markdown table, kernels by architectures: registers a thread, and stack and spilled bytes where there are
        any; and the library's path.
    """
    how, library = recipe("cuda", architectures), folder / "mapstack_cuda.so"
    command = [how.compiler, *how.flags, "-Xptxas=-v", str(CSRC / how.source), "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    # binutils' demangler is there wherever nvcc's host compiler is
    said = subprocess.run(["c++filt"], input=done.stdout + done.stderr, capture_output=True, text=True, check=True)
    cells: dict[str, dict[str, str]] = {}
    for match in PTXAS.finditer(said.stdout):
        kernel, architecture, stack, stores, loads, registers = match.groups()
        spilled = int(stores) + int(loads)
        text = registers + (f", stack {stack}" if int(stack) else "") + (f", spill {spilled}" if spilled else "")
        cells.setdefault(kernel, {})[architecture] = text
    names = [f"sm_{architecture}" for architecture in architectures]
    lines = ["| kernel | " + " | ".join(names) + " |", "|---|" + "--:|" * len(names)]
    lines += [
        f"| `{kernel}` | " + " | ".join(row.get(name, "?") for name in names) + " |"
        for kernel, row in sorted(cells.items())
    ]
    return "\n".join(lines) + "\n", library


def compiler_release() -> str:
    """The line in which nvcc states its release."""
    said = subprocess.run([recipe("cuda").compiler, "--version"], capture_output=True, text=True, check=True).stdout
    return next(line for line in said.splitlines() if "release" in line)


def main(arguments: list[str] | None = None) -> int:
    """Build what is named, or whatever can be built; 1 if something named could not be."""
    parser = argparse.ArgumentParser(prog="python -m mapstack.ops.build", description=__doc__)
    parser.add_argument("libraries", nargs="*", metavar="cpu|cuda", help="default: those that have a compiler here")
    parser.add_argument("--arch", nargs="+", default=CUDA_ARCHITECTURES, help="CUDA architectures, 80 for sm_80")
    parser.add_argument("--ptxas-report", type=Path, help="also write what ptxas says of the CUDA kernels")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    failed = False
    for name in options.libraries or ("cpu", "cuda"):
        how = recipe(name, tuple(options.arch))
        if not options.libraries and (reason := obstacle(how)):
            logger.info("%s: left out, %s", name, reason)
            continue
        try:
            logger.info("%s: %s", name, build(how))
        except BackendUnavailable as error:
            logger.error("%s: %s", name, error)
            failed = True
    if options.ptxas_report:
        with tempfile.TemporaryDirectory() as folder:
            table, _ = ptxas_table(Path(folder), tuple(options.arch))
        options.ptxas_report.write_text(PTXAS_TITLE.format(compiler=compiler_release()) + table)
        logger.info("ptxas report: %s", options.ptxas_report)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
