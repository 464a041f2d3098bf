"""Tables of docs/RESULTS.md as recipes: which runs a table has, and what is kept of each finished one."""

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from mmengine import Config

from mapstack.errors import ConfigError

__all__ = ["Row", "Run", "Table", "load_tables", "read_curve", "table_result", "write_json"]


@dataclass(frozen=True)
class Run:
    """One training and its scores; the same run in two tables is made once.

    Args:
        config: path of the config.
        options: changes to it, by dotted key.
        seed: of the training.
        command: a tool that writes its metrics to ``{out}``, instead of a training.
        test_options: changes to the config for scoring alone, by dotted key: a training is shared by runs that differ
            only in these.
        after: the run whose trained weights this one starts from; it is made first.
    """

    config: str
    options: Mapping[str, object]
    seed: int
    command: str | None = None
    test_options: Mapping[str, object] = field(default_factory=dict)
    after: "Run | None" = None

    @property
    def key(self) -> str:
        """Folder name: readable, and different where anything differs."""
        further = [dict(self.test_options)] if self.test_options else []
        further += [self.after.key] if self.after else []
        what = json.dumps([self.config, dict(self.options), self.seed, self.command, *further], sort_keys=True)
        stem = Path(self.config).stem if self.config else "command"
        return f"{stem}-seed{self.seed}-{hashlib.sha256(what.encode()).hexdigest()[:8]}"

    @property
    def training(self) -> "Run":
        """The run that trains what this one scores; itself where it has no options of its own for scoring."""
        return replace(self, test_options={})

    @property
    def depth(self) -> int:
        """How many trainings come before its own."""
        return 0 if self.after is None else 1 + self.after.depth


@dataclass(frozen=True)
class Row:
    """A row, or with several seeds a row for each and their mean.

    Args:
        name: what the table calls it.
        config: path of the config.
        options: changes to it, by dotted key.
        curve: True shows every validation of the run instead of the final score.
        command: see :class:`Run`.
        test_options: see :class:`Run`.
        after: name of the row above whose trained weights this one starts from.
        seeds: where the row is made with others than the table.
    """

    name: str
    config: str = ""
    options: Mapping[str, object] = field(default_factory=dict)
    curve: bool = False
    command: str | None = None
    test_options: Mapping[str, object] = field(default_factory=dict)
    after: str | None = None
    seeds: Sequence[int] = ()


@dataclass(frozen=True)
class Table:
    """A table of docs/RESULTS.md.

    Args:
        name: also the recipe's file name.
        title: one sentence above the table.
        seeds: every row that names none of its own is made with each.
        columns: metric key to column heading.
        rows: the rows.
        data: ``command`` and the file it ``creates``, in order.
    """

    name: str
    title: str
    seeds: Sequence[int]
    columns: Mapping[str, str]
    rows: Sequence[Row]
    data: Sequence[Mapping[str, str]] = ()

    def seeds_of(self, row: Row) -> Sequence[int]:
        """The seeds that a row is made with."""
        return row.seeds or self.seeds

    def run(self, row: Row, seed: int) -> Run:
        """A row's run with one seed."""
        named = {other.name: other for other in self.rows}
        before = None if row.after is None else self.run(named[row.after], seed)
        return Run(row.config, row.options, seed, row.command, row.test_options, before)

    def runs(self) -> list[Run]:
        """Every run once, all rows of a seed before the next seed's."""
        every = sorted({seed for row in self.rows for seed in self.seeds_of(row)})
        found = [self.run(row, seed) for seed in every for row in self.rows if seed in self.seeds_of(row)]
        return list({run.key: run for run in found}.values())


def load_tables(folder: str | Path) -> dict[str, Table]:
    """The recipes in ``folder``, by name.

    Raises:
        ConfigError: a recipe lacks something or has a key that no recipe has.
    """
    tables = {}
    for path in sorted(Path(folder).glob("*.py")):
        recipe = Config.fromfile(str(path)).to_dict()
        known = {key: recipe.get(key) for key in ("title", "seeds", "columns", "data")}
        missing = [key for key in ("title", "seeds", "columns", "rows") if recipe.get(key) is None]
        if missing:
            raise ConfigError(f"{path}: a table needs {missing[0]!r}")
        try:
            rows = [Row(**row) for row in recipe["rows"]]
        except TypeError as error:
            raise ConfigError(f"{path}: rows: {error}") from error
        for number, row in enumerate(rows):
            if row.after is not None and row.after not in [other.name for other in rows[:number]]:
                raise ConfigError(
                    f"{path}: row {row.name!r} comes after {row.after!r}, and no row above it has that name"
                )
        tables[path.stem] = Table(name=path.stem, rows=rows, **{**known, "data": known["data"] or ()})
    return tables


def read_curve(work_dir: str | Path) -> list[dict[str, float]]:
    """Every validation of a training: its metrics, ``iteration``, and ``train/minutes`` of training until then.

    Read from the scalars that MMEngine's local backend writes, over all the processes that a resumed run had. Of
    iterations that a kill made the run train again only the last pass counts.
    """
    seconds: dict[int, float] = {}  # of the iterations up to the key, since the one before it
    points: dict[int, dict[str, float]] = {}
    for path in sorted(Path(work_dir).glob("*/vis_data/scalars.json")):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        trained = [line for line in lines if "train/time" in line]
        if trained:
            first = trained[0]["step"]
            seconds = {step: value for step, value in seconds.items() if step < first}
        for line in lines:
            step = int(line["step"])
            if "train/time" in line:
                seconds[step] = line["train/time"] * (step - max((s for s in seconds if s < step), default=0))
            else:
                metrics = {key.removeprefix("val/"): value for key, value in line.items() if key.startswith("val/")}
                points[step] = {key: value for key, value in metrics.items() if not key.endswith("time")}
    return [
        {**points[step], "iteration": step, "train/minutes": sum(s for at, s in seconds.items() if at <= step) / 60}
        for step in sorted(points)
    ]


def table_result(table: Table, results: Mapping[str, dict]) -> dict:
    """The content of docs/results/TABLE.json from the results of its runs, by :attr:`Run.key`."""
    rows = []
    for row in table.rows:
        finished = [(seed, results[table.run(row, seed).key]) for seed in table.seeds_of(row)]
        for seed, result in finished:
            suffix = f", seed {seed}" if len(finished) > 1 else ""
            if row.curve:
                rows += [{"name": f"{row.name}{suffix}, {p['iteration']}", "metrics": p} for p in result["curve"]]
            else:
                rows.append({"name": row.name + suffix, "metrics": result["metrics"]})
        if len(finished) > 1 and not row.curve:
            rows.append({"name": f"{row.name}, mean of {len(finished)}", "metrics": _mean([r for _, r in finished])})
    return {
        "table": table.name,
        "command": f"python tools/reproduce.py {table.name}",
        "seeds": list(table.seeds),
        "commit": ", ".join(sorted({result["commit"] for result in results.values()})),
        "machine": ", ".join(sorted({result["machine"] for result in results.values()})),
        "rows": rows,
    }


def _mean(results: Sequence[dict]) -> dict[str, float]:
    """Mean of every number that all have, and its sample standard deviation as ``KEY (std)``."""
    merged = {}
    for key, value in results[0]["metrics"].items():
        values = [result["metrics"].get(key) for result in results]
        if isinstance(value, int | float) and None not in values:
            tensor = torch.tensor(values, dtype=torch.float64)
            merged[key] = float(tensor.mean())
            merged[f"{key} (std)"] = float(tensor.std())
    return merged


def provenance() -> dict[str, str]:
    """``commit`` (with ``+changes`` where files differ from it) and ``machine`` of a run made now."""
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True).stdout.strip()
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--", "mapstack", "tools", "configs"], capture_output=True, text=True
    ).stdout.strip()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    return {
        "commit": (commit or "unknown") + ("+changes" if changed else ""),
        "machine": f"{device}, {os.cpu_count()} cores, torch {torch.__version__}",
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def write_json(content: object, path: Path) -> None:
    """Write JSON so that a kill leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
