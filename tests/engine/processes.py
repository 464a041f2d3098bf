"""Run a tool in a process of its own that can be killed, forked from one that has imported PyTorch already."""

import multiprocessing
import os
import runpy
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Finished", "run_tool"]

ROOT = Path(__file__).parents[2]
PRELOAD = ["mapstack.engine", "mapstack.models", "mapstack.datasets", "mapstack.evaluation", "tensorboard.summary"]


@dataclass(frozen=True)
class Finished:
    """How the process ended (minus the signal's number where one killed it) and what it printed."""

    returncode: int
    output: str

    @property
    def last_line(self) -> str:
        """What a user reads last."""
        lines = self.output.strip().splitlines()
        return lines[-1] if lines else ""


def run_tool(tool: str, *arguments: object, env: dict[str, str] | None = None, timeout_s: float = 300) -> Finished:
    """Run ``tools/<tool>`` with ``arguments``, as a shell would."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    with tempfile.NamedTemporaryFile("r") as log:
        process = context.Process(target=_main, args=(tool, [str(a) for a in arguments], env or {}, log.name))
        process.start()
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
            process.join()
        return Finished(process.exitcode, log.read())


def _main(tool: str, arguments: list[str], env: dict[str, str], log_name: str) -> None:
    log = os.open(log_name, os.O_WRONLY | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(ROOT)
    os.environ.update(env)
    sys.argv = [tool, *arguments]
    try:
        runpy.run_path(str(ROOT / "tools" / tool), run_name="__main__")
    except SystemExit as end:  # multiprocessing prints no message of its own
        if isinstance(end.code, str):
            os.write(2, f"{end.code}\n".encode())
        os._exit(1 if end.code else 0)
    except BaseException:
        os.write(2, traceback.format_exc().encode())
        os._exit(1)
