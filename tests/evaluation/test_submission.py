"""Files in the challenge's form: streamed, whatever the layout, and written whole or not at all."""

import json
import tracemalloc
from pathlib import Path

import pytest

from mapstack.evaluation import evaluate, open_submission, submission, write_submission

from .sets import random_set


@pytest.mark.parametrize("chunk_bytes", [1, 3, 64, 1 << 20])
@pytest.mark.parametrize("indent", [None, 2])
def test_any_layout_reads_the_same(tmp_path: Path, chunk_bytes: int, indent: int | None, monkeypatch) -> None:
    monkeypatch.setattr(submission, "CHUNK_BYTES", chunk_bytes)
    entries = {
        'quote " and \\ brace {': {"vectors": [], "labels": [], "note": 'a "string" with } and { and \\'},
        "ümlaut": {"vectors": [[[1.5, 2], [3, 4e-5]]], "labels": [0], "nested": {"deeper": {"vectors": 1}}},
    }
    meta = {"classes": ["a"], "rules": {"divider": "painted"}}
    for number, document in enumerate(
        (entries, {"meta": meta, "version": 3, "results": entries}, {"results": entries, "meta": meta})
    ):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(document, indent=indent))
        opened = open_submission(path, "predictions")
        assert opened.tokens == sorted(entries)
        assert {token: opened.entry(token) for token in opened.tokens} == entries
        assert opened.meta == (meta if number else {})


def test_an_empty_file_object_has_no_tokens(tmp_path: Path) -> None:
    path = tmp_path / "empty.json"
    path.write_text('{"meta": {}, "results": {}}')
    assert open_submission(path, "targets").tokens == []


def test_what_is_written_is_read(tmp_path: Path) -> None:
    predictions, targets = random_set(31)
    write_submission(tmp_path / "deep" / "pred.json", predictions.items(), {"classes": ["a", "b", "c"]})
    write_submission(tmp_path / "gt.json", targets.items(), {"rules": {"divider": "painted"}})
    result = evaluate(tmp_path / "deep" / "pred.json", tmp_path / "gt.json")
    assert result.classes == ("a", "b", "c")
    assert result.rules == {"divider": "painted"}
    assert result.ap == evaluate(predictions, targets).ap
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "pred.json"
    write_submission(path, [("a", {"vectors": []})])
    before = path.read_text()
    with pytest.raises(ValueError, match="Out of range float"):
        write_submission(path, [("a", {"scores": [float("nan")]})])
    assert path.read_text() == before


def test_a_large_file_is_streamed(tmp_path: Path) -> None:
    """Memory while reading stays far below the file's size: 12 MB of frames within 5 MB."""
    path = tmp_path / "pred.json"
    entry = json.dumps({"vectors": [], "labels": [0, 0], "note": "x" * 50_000})
    with path.open("w") as file:
        file.write("{" + ",".join(f'"{number}": {entry}' for number in range(240)) + "}")
    assert path.stat().st_size > 11e6
    tracemalloc.start()
    opened = open_submission(path, "predictions")
    total = sum(len(opened.entry(token)["labels"]) for token in opened.tokens)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 480
    assert peak < 5e6
