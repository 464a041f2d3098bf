"""Tables are made from nothing, go on after a kill, share runs, and stand in RESULTS.md as they were made."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mapstack.engine import load_checkpoint_file, load_config, reproduce, save_weights
from mapstack.engine.reproduce import make_run, make_table, render
from mapstack.engine.tables import Row, Run, Table, load_tables, read_curve, table_result
from mapstack.errors import ConfigError, MapstackError

from .processes import run_tool
from .toy import write_config

ROOT = Path(__file__).parents[2]
RECIPES = load_tables(ROOT / "configs/tables")


class Tools:
    """Runs tools in quick processes, keeps their names, and kills the next one at ``kill`` (see KillHook)."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.kill = ""

    def __call__(self, command: list[str]) -> None:
        self.names.append(Path(command[0]).name)
        kill, self.kill = self.kill, ""
        done = run_tool(self.names[-1], *command[1:], env={"TOY_KILL": kill or ":0"})
        if done.returncode:
            raise MapstackError(done.output)


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Tools:
    tools = Tools()
    monkeypatch.setattr(reproduce, "_tool", tools)
    return tools


def toy_table(folder: Path, name: str = "toys", seeds: tuple[int, ...] = (0, 1), curve: bool = False) -> Table:
    config = str(write_config(folder))
    options = {"train_cfg.max_iters": 8, "train_cfg.val_interval": 4}
    columns = {"toy/mAP": "mAP", "train/minutes": "minutes", "iteration": "iteration", "absent": "absent"}
    return Table(name, "Toys.", seeds, columns, [Row("toy", config, options, curve)])


def test_a_row_may_have_seeds_of_its_own(tmp_path: Path, tools: Tools) -> None:
    table = toy_table(tmp_path, seeds=(0,))
    table = replace(table, rows=[replace(table.rows[0], name="often", seeds=(1, 2)), *table.rows])
    content = json.loads(make_table(table, tmp_path / "runs", tmp_path / "docs").read_text())
    assert [row["name"] for row in content["rows"]] == ["often, seed 1", "often, seed 2", "often, mean of 2", "toy"]
    assert [run.seed for run in table.runs()] == [0, 1, 2]


def test_a_killed_table_goes_on_and_ends_complete(tmp_path: Path, tools: Tools) -> None:
    table, runs, docs = toy_table(tmp_path), tmp_path / "runs", tmp_path / "docs"
    tools.kill = "iter:6"
    with pytest.raises(MapstackError):
        make_table(table, runs, docs)
    assert not (docs / "RESULTS.md").exists(), "half a table was published"
    path = make_table(table, runs, docs)
    assert tools.names == ["train.py", "train.py", "test.py", "train.py", "test.py"]

    content = json.loads(path.read_text())
    assert set(content) == {"table", "command", "seeds", "commit", "machine", "rows"}
    assert content["command"] == "python tools/reproduce.py toys"
    assert content["seeds"] == [0, 1]
    assert [row["name"] for row in content["rows"]] == ["toy, seed 0", "toy, seed 1", "toy, mean of 2"]
    scores = [row["metrics"]["toy/mAP"] for row in content["rows"]]
    assert scores[2] == pytest.approx((scores[0] + scores[1]) / 2)
    assert scores[0] != scores[1]
    assert content["rows"][0]["metrics"]["train/minutes"] > 0
    page = (docs / "RESULTS.md").read_text()
    assert "| | mAP | minutes |" in page
    assert f"| toy, mean of 2 | {scores[2]:.3f} ± " in page


def test_several_runs_at_a_time_make_the_same_table(tmp_path: Path, tools: Tools) -> None:
    table = toy_table(tmp_path)
    alone, together = (
        json.loads(make_table(table, tmp_path / name / "runs", tmp_path / name / "docs", jobs).read_text())["rows"]
        for name, jobs in (("alone", 1), ("together", 2))
    )
    assert [row["metrics"]["toy/mAP"] for row in together] == [row["metrics"]["toy/mAP"] for row in alone]
    assert sorted(tools.names) == 4 * ["test.py"] + 4 * ["train.py"]


def test_tables_share_runs_and_make_none_twice(tmp_path: Path, tools: Tools) -> None:
    runs, docs = tmp_path / "runs", tmp_path / "docs"
    make_table(toy_table(tmp_path, seeds=(0,)), runs, docs)
    assert len(tools.names) == 2
    path = make_table(toy_table(tmp_path, "curves", seeds=(0,), curve=True), runs, docs)
    assert len(tools.names) == 2
    rows = json.loads(path.read_text())["rows"]
    assert [row["metrics"]["iteration"] for row in rows] == [4, 8]
    assert rows[0]["metrics"]["train/minutes"] < rows[1]["metrics"]["train/minutes"]
    assert (docs / "RESULTS.md").read_text().count("<!-- table:") == 2


def test_a_training_is_shared_by_rows_that_score_it_otherwise(tmp_path: Path, tools: Tools) -> None:
    runs, docs = tmp_path / "runs", tmp_path / "docs"
    table = toy_table(tmp_path, seeds=(0,))
    (plain,) = table.rows
    fewer = replace(plain, name="fewer frames", test_options={"test_dataloader.dataset.size": 5})
    path = make_table(replace(table, rows=[fewer, plain]), runs, docs)
    assert tools.names == ["train.py", "test.py", "test.py"]
    first, second = (row["metrics"] for row in json.loads(path.read_text())["rows"])
    assert first["toy/mAP"] > second["toy/mAP"], "the metric falls with every frame more"
    assert first["train/minutes"] == second["train/minutes"] > 0
    kept = json.loads((runs / replace(table, rows=[fewer]).runs()[0].key / "result.json").read_text())
    assert kept["test_options"] == {"test_dataloader.dataset.size": 5}


def test_a_row_can_go_on_from_the_weights_of_another(tmp_path: Path, tools: Tools) -> None:
    table = toy_table(tmp_path, seeds=(0, 1))
    (first,) = table.rows
    still = {"optim_wrapper.optimizer.lr": 0.0, "optim_wrapper.optimizer.weight_decay": 0.0, "train_cfg.max_iters": 2}
    then = replace(first, name="then", options={**first.options, **still}, after="toy")
    both, runs = replace(table, rows=[first, then]), tmp_path / "runs"
    make_table(both, runs, tmp_path / "docs")
    assert tools.names == 4 * ["train.py", "test.py"]
    for seed in (0, 1):
        start, end = (
            load_checkpoint_file(runs / both.run(row, seed).key / f"train/iter_{steps}.pth")["state_dict"]
            for row, steps in ((first, 8), (then, 2))
        )
        torch.testing.assert_close(end["net.0.weight"], start["net.0.weight"], rtol=1e-5, atol=1e-7)


def test_a_run_that_may_be_resumed_can_begin_with_weights(tmp_path: Path, tools: Tools) -> None:
    """As fine-tuning rows do: the first start loads them, a later one goes on from its own checkpoint."""
    config = str(write_config(tmp_path))
    run_tool("train.py", config, "--work-dir", tmp_path / "first", "--cfg-options", "train_cfg.max_iters=4")
    save_weights(load_checkpoint_file(tmp_path / "first/iter_4.pth"), tmp_path / "start.safetensors")
    options = {"load_from": str(tmp_path / "start.safetensors"), "optim_wrapper.optimizer.lr": 0.0}
    options |= {"optim_wrapper.optimizer.weight_decay": 0.0, "train_cfg.max_iters": 8}
    run = Run(config, options, 0)
    tools.kill = "iter:6"
    with pytest.raises(MapstackError):
        make_run(run, tmp_path / "runs")
    make_run(run, tmp_path / "runs")
    trained = load_checkpoint_file(tmp_path / "runs" / run.key / "train/iter_8.pth")["state_dict"]
    start = load_checkpoint_file(tmp_path / "start.safetensors")["state_dict"]
    torch.testing.assert_close(trained["net.0.weight"], start["net.0.weight"], rtol=1e-5, atol=1e-7)


def test_a_row_can_be_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        reproduce, "_tool", lambda command: Path(command[-1]).write_text(json.dumps({"ms": 1.5, "device": "x"}))
    )
    run = Run("", {}, 3, "tools/benchmark.py --seed {seed} --json {out}")
    assert make_run(run, tmp_path)["metrics"] == {"ms": 1.5}


def test_a_command_may_set_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEFORE", "x")
    code = "import os, sys; open(sys.argv[1], 'w').write(os.environ['AFTER'] + sys.argv[2])"
    reproduce._tool(["AFTER=y:$BEFORE", "-c", code, str(tmp_path / "out"), "KEPT=1"])
    assert (tmp_path / "out").read_text() == "y:xKEPT=1"


def test_every_metric_of_a_run_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first writes to the run's folder, a further one to a folder in it."""

    def two_metrics(command: list[str]) -> None:
        for path, metrics in (
            (Path(command[-1]), {"a": 1.0}),
            (Path(command[-1]).parent / "1/metrics.json", {"b": 2.0}),
        ):
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(metrics))

    monkeypatch.setattr(reproduce, "_tool", two_metrics)
    assert make_run(Run("", {}, 0, "tools/x.py {out}"), tmp_path)["metrics"] == {"a": 1.0, "b": 2.0}


def test_a_failing_tool_ends_in_its_command(tmp_path: Path) -> None:
    run = Run("", {}, 0, "tools/no_such_tool.py --json {out}")
    with pytest.raises(MapstackError, match=r"failed with 2: python tools/no_such_tool\.py"):
        make_run(run, tmp_path)
    assert reproduce.result_of(run, tmp_path) is None


def write_scalars(folder: Path, start: str, lines: list[dict]) -> None:
    (folder / start / "vis_data").mkdir(parents=True)
    (folder / start / "vis_data/scalars.json").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def test_minutes_count_each_iteration_of_a_resumed_run_once(tmp_path: Path) -> None:
    first = [{"train/time": 6.0, "step": 10}, {"train/time": 6.0, "step": 20}, {"val/maptr/mAP": 0.1, "step": 20}]
    write_scalars(tmp_path, "20260101_000000", [*first, {"train/time": 6.0, "step": 30}])
    # Killed after 30, resumed from the checkpoint of 20: 21 to 30 are trained again, faster.
    second = [{"train/time": 3.0, "step": 30}, {"train/time": 3.0, "step": 40}, {"val/maptr/mAP": 0.2, "step": 40}]
    write_scalars(tmp_path, "20260102_000000", second)
    curve = read_curve(tmp_path)
    assert [point["iteration"] for point in curve] == [20, 40]
    assert [point["train/minutes"] for point in curve] == [2.0, 3.0]
    assert [point["maptr/mAP"] for point in curve] == [0.1, 0.2]


def test_results_page_keeps_what_stands_around_a_table(tmp_path: Path) -> None:
    table = toy_table(tmp_path, seeds=(0,))
    result = {"metrics": {"toy/mAP": 0.5}, "commit": "abc", "machine": "m", "curve": []}
    content = table_result(table, {table.runs()[0].key: result})
    page = "# R\n\nBefore.\n\n<!-- table:toys -->\nold\n<!-- /table:toys -->\n\nAfter.\n"
    once = render(table, content, page)
    assert once.startswith(
        "# R\n\nBefore.\n\n<!-- table:toys -->\nToys. Seeds: 0.\n\n| | mAP |\n|---|--:|\n| toy | 0.500 |"
    )
    assert once.endswith("<!-- /table:toys -->\n\nAfter.\n")
    assert "old" not in once
    assert render(table, content, once) == once
    with pytest.raises(ConfigError, match="only one of the markers"):
        render(table, content, page.replace("<!-- /table:toys -->", ""))


@pytest.mark.parametrize(
    ("value", "cell"),
    [(7, "7"), (0.5, "0.500"), (12.34, "12.3"), (2.4e-6, "2.4e-06"), (1e-12, "0.000"), (0.0, "0.000")],
)
def test_a_cell_shows_what_is_small_and_hides_rounding(tmp_path: Path, value: float, cell: str) -> None:
    table = toy_table(tmp_path, seeds=(0,))
    result = {"metrics": {"toy/mAP": value}, "commit": "abc", "machine": "m", "curve": []}
    page = render(table, table_result(table, {table.runs()[0].key: result}), "")
    assert f"| toy | {cell} |" in page


def test_runs_differ_when_anything_differs() -> None:
    base = Run("a.py", {"x": 1}, 0)
    others = [Run("b.py", {"x": 1}, 0), Run("a.py", {"x": 2}, 0), Run("a.py", {"x": 1}, 1), Run("a.py", {}, 0)]
    others.append(Run("a.py", {"x": 1}, 0, after=others[0]))
    others.append(Run("a.py", {"x": 1}, 0, test_options={"x": 3}))
    assert len({run.key for run in [base, *others]}) == 7
    assert others[-1].training == base
    assert Run("a.py", {"x": 1}, 0).key == base.key


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = 'T'\nseeds = [0]\ncolumns = {}", "a table needs 'rows'"),
        (
            "title = 'T'\nseeds = [0]\ncolumns = {}\nrows = [dict(name='a', confg='b')]",
            "unexpected keyword argument 'confg'",
        ),
        (
            "title = 'T'\nseeds = [0]\ncolumns = {}\nrows = [dict(name='a', config='b', after='c')]",
            "row 'a' comes after 'c', and no row above it has that name",
        ),
    ],
)
def test_a_broken_recipe_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "broken.py").write_text(text)
    with pytest.raises(ConfigError, match=rf"broken\.py.*{message}"):
        load_tables(tmp_path)


def test_the_promised_tables_are_there() -> None:
    assert {"modalities", "demo_seeds", "convergence"} <= set(RECIPES)


@pytest.mark.parametrize("table", RECIPES.values(), ids=RECIPES)
def test_recipes_name_configs_that_exist(table: Table) -> None:
    missing = {row.config for row in table.rows if row.config and not (ROOT / row.config).is_file()}
    assert not missing


@pytest.mark.parametrize("table", RECIPES.values(), ids=RECIPES)
def test_recipes_change_what_their_configs_have(table: Table) -> None:
    for row in table.rows:
        if row.config:
            load_config(ROOT / row.config, {**row.options, **row.test_options})


def test_list_names_every_table() -> None:
    done = run_tool("reproduce.py", "--list")
    assert done.returncode == 0
    assert all(name in done.output for name in RECIPES)
    assert run_tool("reproduce.py", "nope").last_line.startswith("error: there is no table 'nope'; there are ")
