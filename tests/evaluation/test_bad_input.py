"""Bad input ends in one error that names the file or token, and the mend."""

import copy
import json
import re
from pathlib import Path

import numpy as np
import pytest

from mapstack.errors import ConfigError, DataError
from mapstack.evaluation import evaluate

from .sets import metre_line, random_set


def one_frame(**changes: object) -> dict:
    entry = {"vectors": [metre_line(1.0), metre_line(3.0)], "labels": [0, 1], "scores": [0.9, 0.8]}
    return {"tok-1": {**entry, **changes}}


TARGETS = {"tok-1": {"vectors": [metre_line(1.0), metre_line(3.0)], "labels": [0, 1]}}
BROKEN = {
    "nan": ({"vectors": [[[0, float("nan")], [5, 5]], metre_line(3.0)]}, "vector 0 holds NaN or infinity"),
    "null": ({"vectors": [[[0, None], [5, 5]], metre_line(3.0)]}, "vector 0 holds NaN or infinity"),
    "infinity": ({"vectors": [metre_line(1.0), [[0, float("inf")], [5, 5], [6, 6]]]}, "vector 1 holds NaN"),
    "one point": ({"vectors": [metre_line(1.0), [[2.0, 2.0]]]}, "vector 1 has 1 point(s), a polyline needs 2"),
    "no point": ({"vectors": [metre_line(1.0), []]}, "vector 1 has 0 point(s)"),
    "all one point": ({"vectors": [[[1.0, 1.0]], [[2.0, 2.0]]]}, "vector 0 has 1 point(s)"),
    "flat": ({"vectors": [[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]]}, "is not a list of [x, y]"),
    "ragged": ({"vectors": [[[0, 1], [2]], metre_line(3.0)]}, "is not a list of [x, y] points"),
    "mixed": ({"vectors": [[[0, 1, 2], [2, 3, 4], [4, 5, 6]], metre_line(3.0)]}, "mixes 2-D and 3-D"),
    "words": ({"vectors": [[["a", "b"], ["c", "d"]], metre_line(3.0)]}, "is not a list of [x, y]"),
    "score above 1": ({"scores": [1.5, 0.8]}, "score 1.5 lies outside [0, 1]; apply the sigmoid"),
    "score below 0": ({"scores": [0.5, -0.1]}, "score -0.1 lies outside [0, 1]"),
    "score nan": ({"scores": [float("nan"), 0.1]}, "score nan lies outside [0, 1]"),
    "label too large": ({"labels": [0, 7]}, "label 7 is not one of the 2 classes, 0 to 1"),
    "label negative": ({"labels": [-1, 0]}, "label -1 is not one of"),
    "label broken": ({"labels": [0.5, 0]}, "label 0.5 is not one of"),
    "label word": ({"labels": ["divider", 0]}, "labels must be a list of numbers"),
    "counts": ({"scores": [0.5]}, "has 2 vectors, 2 labels and 1 scores"),
    "nested scores": ({"scores": [[0.5, 0.5]]}, "scores must be a flat list"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_frame_is_named(case: str, tmp_path: Path) -> None:
    changes, message = BROKEN[case]
    with pytest.raises(DataError, match=rf"predictions: token tok-1.*{re.escape(message)}"):
        evaluate(one_frame(**changes), TARGETS)
    path = tmp_path / "pred.json"
    path.write_text(json.dumps(one_frame(**changes)))
    with pytest.raises(DataError, match=rf"{re.escape(str(path))}: token tok-1.*{re.escape(message)}"):
        evaluate(path, TARGETS)


def test_a_broken_target_is_named() -> None:
    targets = {"tok-1": {"vectors": [metre_line(1.0), [[2.0, 2.0]]], "labels": [0, 1]}}
    with pytest.raises(DataError, match=r"targets: token tok-1: vector 1 has 1 point"):
        evaluate(one_frame(), targets)


def test_missing_keys_are_named() -> None:
    entry = {"vectors": [], "labels": []}
    with pytest.raises(DataError, match="predictions: token tok-1 has no 'scores'; it has vectors, labels"):
        evaluate({"tok-1": entry}, TARGETS)


def test_tokens_missing_on_either_side_are_named() -> None:
    predictions, targets = random_set(1)
    first, last = sorted(targets)[0], sorted(targets)[-1]
    fewer = {token: entry for token, entry in predictions.items() if token != first}
    with pytest.raises(DataError, match=f"predictions lacks 1 of 12 tokens: {first}; .*empty lists"):
        evaluate(fewer, targets)
    fewer = {token: entry for token, entry in targets.items() if token not in (first, last)}
    with pytest.raises(DataError, match=f"targets lacks 2 of 12 tokens: {first}, {last}; "):
        evaluate(predictions, fewer)


@pytest.mark.parametrize("side", ["predictions", "targets", "both"])
def test_points_in_the_unit_square_are_suspected(side: str) -> None:
    rng = np.random.default_rng(0)
    predictions, targets = random_set(2)
    for name, frames in (("predictions", predictions), ("targets", targets)):
        if side in (name, "both"):
            for entry in frames.values():
                entry["vectors"] = [rng.uniform(0, 1, (20, 2)).tolist() for _ in entry["vectors"]]
    named = "targets" if side == "targets" else "predictions"
    with pytest.raises(DataError, match=rf"{named}: every point lies in \[0, 1\].*normalised.*ego_from_patch"):
        evaluate(predictions, targets)


def test_a_model_that_collapsed_to_a_point_is_scored() -> None:
    predictions = one_frame(vectors=[[[0.5, 0.5], [0.5, 0.51]]] * 2)
    assert evaluate(predictions, TARGETS).map == 0.0


def test_classes_in_another_order_are_refused() -> None:
    sides = [{"meta": {"classes": names}, "results": TARGETS} for names in (["a", "b"], ["b", "a"])]
    sides[0]["results"] = one_frame()
    with pytest.raises(
        DataError, match=r"predictions has classes \('a', 'b'\).*targets has|targets has.*predictions has"
    ):
        evaluate(*sides)


def test_half_known_scenes_are_refused() -> None:
    predictions, targets = random_set(5)
    token = sorted(targets)[3]
    del targets[token]["scene"]
    with pytest.raises(DataError, match=f"token {token} has no scene although others have"):
        evaluate(predictions, targets)
    with pytest.raises(DataError, match="scenes: no scene for token"):
        evaluate(predictions, targets, scenes={token: "a"})


def test_two_dimensional_vectors_under_a_3d_protocol() -> None:
    with pytest.raises(DataError, match="vectors are 2-D, the protocol scores 3"):
        evaluate(one_frame(), TARGETS, "maptr_3d")


def test_an_unknown_protocol_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="unknown protocol 'maptrr'; choose one of maptr, "):
        evaluate(one_frame(), TARGETS, "maptrr")


def test_the_input_is_left_alone() -> None:
    predictions, targets = random_set(6)
    kept = copy.deepcopy((predictions, targets))
    evaluate(predictions, targets)
    assert (predictions, targets) == kept


MALFORMED = {
    "cut off": ('{"results": {"tok-1": {"vectors": [', "is not a whole JSON object"),
    "empty": ("", "is not a whole JSON object"),
    "a list": ("[1, 2]", "is not a whole JSON object"),
    "list of frames": ('{"results": [{"token": "tok-1"}]}', "results should be an object"),
    "twice": ('{"tok-1": {"labels": []}, "tok-1": {"labels": []}}', "token tok-1 appears twice"),
    "a number": ('{"tok-1": 3}', "tok-1 should be an object"),
    "a number inside": ('{"results": {"tok-1": 3}}', "tok-1 should be an object"),
    "list inside": ('{"results": {"tok-1": [{"a": 1}]}}', "tok-1 should be an object"),
    "open string": ('{"tok-1": {"vectors": []}, "tok', "is not a whole JSON object"),
    "bad number": (
        '{"tok-1": {"vectors": [[[1.0.0, 2]]], "labels": [0], "scores": [1]}}',
        "token tok-1 is not valid JSON",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_is_named(case: str, tmp_path: Path) -> None:
    text, message = MALFORMED[case]
    path = tmp_path / "pred.json"
    path.write_text(text)
    with pytest.raises(DataError, match=rf"{re.escape(str(path))}.*{message}"):
        evaluate(path, TARGETS)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"targets: no file {re.escape(str(tmp_path))}"):
        evaluate(one_frame(), tmp_path / "gt.json")
