"""``python -m mapstack.ops.build [cpu] [cuda]``: compile ahead of the first use."""

import argparse
import logging
import subprocess
import tempfile
from pathlib import Path

from ..errors import BackendUnavailable
from ._build import CSRC, CUDA_ARCHITECTURES, build, obstacle, recipe

__all__ = ["main", "ptxas_report"]

logger = logging.getLogger("mapstack.ops.build")


def ptxas_report(architectures: tuple[str, ...] = CUDA_ARCHITECTURES) -> str:
    """Compile the CUDA kernels and return what ptxas says of each: registers, stack and spills, per architecture."""
    how = recipe("cuda", architectures)
    with tempfile.TemporaryDirectory() as folder:
        command = [how.compiler, *how.flags, "-Xptxas=-v", str(CSRC / how.source), "-o", str(Path(folder) / "out.so")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


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
        options.ptxas_report.write_text(ptxas_report(tuple(options.arch)))
        logger.info("ptxas report: %s", options.ptxas_report)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
