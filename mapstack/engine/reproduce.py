"""Make the runs of a table with the project's own tools, resuming what was killed, and write what came out."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat, takewhile
from pathlib import Path

from mapstack.engine.checkpoints import latest_checkpoint
from mapstack.engine.tables import Run, Table, provenance, read_curve, table_result, write_json
from mapstack.errors import ConfigError, MapstackError

__all__ = ["make_run", "make_table", "render", "result_of"]

SETTING = re.compile(r"[A-Z_]+=")


def _tool(command: list[str]) -> None:
    """Run one of our tools, its output going where ours goes; words NAME=VALUE before it go into its environment."""
    settings = dict(word.split("=", 1) for word in takewhile(SETTING.match, command))
    environment = os.environ | {name: os.path.expandvars(value) for name, value in settings.items()}
    done = subprocess.run([sys.executable, *command[len(settings) :]], env=environment)
    if done.returncode:
        raise MapstackError(f"failed with {done.returncode}: python {shlex.join(command)}")


def result_of(run: Run, root: Path) -> dict | None:
    """What a finished run left, None where it is still to be made."""
    path = root / run.key / "result.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def make_run(run: Run, root: Path) -> dict:
    """Train and score, or take the result that is there already."""
    result = result_of(run, root)
    if result is not None:
        return result
    folder = root / run.key
    made_by = provenance()
    if run.command is not None:
        out = folder / "metrics.json"
        folder.mkdir(parents=True, exist_ok=True)
        _tool(shlex.split(run.command.format(out=out, seed=run.seed)))
        curve = []
    else:
        out = folder / "scored/metrics.json"
        curve = _train_and_score(run, root, out.parent)
    metrics: dict[str, float] = {}
    for written in (out, *sorted(out.parent.glob("*/metrics.json"))):  # of the first metric, and of further ones
        found = json.loads(written.read_text(encoding="utf-8"))
        metrics |= {key: value for key, value in found.items() if isinstance(value, int | float)}
    if curve:
        metrics["train/minutes"] = curve[-1]["train/minutes"]
    about = {"config": run.config, "options": dict(run.options), "seed": run.seed, "command": run.command}
    if run.test_options:
        about["test_options"] = dict(run.test_options)
    if run.after is not None:
        about["after"] = run.after.key
    result = {**about, **made_by, "metrics": metrics, "curve": curve}
    write_json(result, folder / "result.json")
    return result


def _train_and_score(run: Run, root: Path, out_dir: Path) -> list[dict]:
    """Score what :attr:`Run.training` has trained, or is to train now, and return its curve."""
    work_dir = root / run.training.key / "train"
    if run.training == run:
        options = dict(run.options)
        if run.after is not None:
            make_run(run.after, root)
            options["load_from"] = str(latest_checkpoint(root / run.after.training.key / "train"))
        train = ["tools/train.py", run.config, "--work-dir", str(work_dir), "--seed", str(run.seed)]
        # Only a run that saved something is resumed: one that starts from weights must load them first.
        resume = ["--resume"] if latest_checkpoint(work_dir) else []
        _tool([*train, *resume, *_changes(options)])
        curve = read_curve(work_dir)
    else:
        curve = make_run(run.training, root)["curve"]
    score = ["tools/test.py", run.config, str(latest_checkpoint(work_dir)), "--out", str(out_dir)]
    _tool([*score, *_changes({**run.options, **run.test_options})])
    return curve


def _changes(options: Mapping[str, object]) -> list[str]:
    """Options as the tools' command line takes them."""
    given = [f"{key}={_written(value)}" for key, value in options.items()]
    return ["--cfg-options", *given] if given else []


def _written(value: object) -> str:
    """A value in MMEngine's way: lists without quotes and spaces."""
    return f"[{','.join(map(_written, value))}]" if isinstance(value, list | tuple) else str(value)


def make_table(table: Table, root: Path, docs: Path, jobs: int = 1) -> Path:
    """Make a table from nothing: its data, its runs, docs/results/TABLE.json and its place in docs/RESULTS.md.

    Args:
        table: its recipe.
        root: where runs are kept.
        docs: the folder of RESULTS.md.
        jobs: runs made at a time, each in processes of its own; trainings that several share come first.
    """
    for step in table.data:
        if not Path(step["creates"]).exists():
            _tool(shlex.split(step["command"]))
    runs = table.runs()
    with ThreadPoolExecutor(jobs) as pool:
        make = pool.map if jobs > 1 else map  # a pool would begin the next run before it hears that this one failed
        trainings = {run.training.key: run.training for run in runs}.values()
        for depth in range(1 + max(run.depth for run in runs)):
            list(make(make_run, [run for run in trainings if run.depth == depth], repeat(root)))
        results = dict(zip((run.key for run in runs), make(make_run, runs, repeat(root)), strict=True))
    content = table_result(table, results)
    path = docs / "results" / f"{table.name}.json"
    write_json(content, path)
    page = docs / "RESULTS.md"
    text = page.read_text(encoding="utf-8") if page.exists() else "# Results\n"
    page.write_text(render(table, content, text), encoding="utf-8")
    return path


def render(table: Table, content: Mapping, page: str) -> str:
    """``page`` with the table between its markers, which are added at the end where they are missing.

    Raises:
        ConfigError: one marker is there without the other.
    """
    start, end = f"<!-- table:{table.name} -->", f"<!-- /table:{table.name} -->"
    if (start in page) != (end in page):
        raise ConfigError(f"RESULTS.md has only one of the markers {start} and {end}")
    if start not in page:
        page = f"{page.rstrip()}\n\n## {table.name}\n\n{start}\n{end}\n"
    before, _, rest = page.partition(start)
    after = rest.partition(end)[2]
    return f"{before}{start}\n{_markdown(table, content)}{end}{after}"


def _markdown(table: Table, content: Mapping) -> str:
    columns = {
        key: name for key, name in table.columns.items() if any(key in row["metrics"] for row in content["rows"])
    }
    lines = [f"{table.title} Seeds: {', '.join(map(str, content['seeds']))}.", ""]
    lines += [f"| | {' | '.join(columns.values())} |", f"|---|{'--:|' * len(columns)}"]
    for row in content["rows"]:
        cells = [_cell(row["metrics"].get(key), row["metrics"].get(f"{key} (std)")) for key in columns]
        lines.append(f"| {row['name']} | {' | '.join(cells)} |")
    made = f"`{content['command']}`, commit {content['commit']}, {content['machine']}"
    return "\n".join([*lines, "", f"Made by {made}.", ""])


def _cell(value: float | None, spread: float | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, int):
        return str(value)
    if 1e-9 < abs(value) < 5e-5 and spread is None:  # neither nothing, as three digits would have it, nor rounding
        return f"{value:.1e}"
    digits = 1 if abs(value) >= 10 else 3
    return f"{value:.{digits}f}" + (f" ± {spread:.{digits}f}" if spread is not None else "")
