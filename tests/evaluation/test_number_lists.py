"""Numbers read straight from JSON text: the same bits as json's, and nothing malformed slips through."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapstack.evaluation.number_lists import parse_number_lists
from mapstack.evaluation.submission import open_submission

number = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**6), 10**6))


@st.composite
def vectors(draw: st.DrawFn) -> list:
    dim = draw(st.integers(2, 3))
    point = st.lists(number, min_size=dim, max_size=dim)
    return draw(st.lists(st.lists(point, min_size=1, max_size=4), min_size=1, max_size=4))


@settings(max_examples=200, deadline=None)
@given(vectors(), st.sampled_from([None, 1]))
def test_well_formed_lists_are_read_to_the_bit(value: list, indent: int | None) -> None:
    lines = parse_number_lists(json.dumps(value, indent=indent).encode())
    assert lines.counts.tolist() == [len(vector) for vector in value]
    assert lines.vertices.tolist() == [[float(x) for x in point] for vector in value for point in vector]


MALFORMED = (
    "[]", "[[]]", "[[[]]]", "[1, 2]", "[[1, 2]]", "[[[1]]]", "[[[1, 2, 3, 4]]]", "[[[1, 2], [3]]]", "[[[[1, 2]]]]",
    "[[[1, 2], [3, 4, 5]], [[6, 7]]]", "[[[1 2]]]", "[[[1, 2][3, 4]]]", "[[[1, 2],, [3, 4]]]", "[[[1, 2], [3, 4],]]",
    "[[[1, 2,]]]", "[[[,1, 2]]]", "[,[[1, 2]]]", "[[[1, 2]]", "[[[1, 2]]]]", "[[[1.0.0, 2]]]", "[[[1, -]]]",
    "[[[1, 2e]]]", "[[[1, ]]]", "[[[ , 1]]]", "[[[1, 2e], [3, 4]]]", "[[[1, -], [3, 4]]]", "[[[1, 0x10]]]",
    "[[[1, 2]], []]", "[[[1, 2], []]]", "[[[1, 2]]][[[3, 4]]]", "[[[1, 2]] [[3, 4]]]",
)  # fmt: skip


@pytest.mark.parametrize("text", MALFORMED)
def test_anything_else_is_left_to_json(text: str) -> None:
    assert parse_number_lists(text.encode()) is None


def test_only_the_entrys_own_vectors_are_taken(tmp_path) -> None:
    own, other = [[[1.5, 2.5], [3.5, 4.5]]], [[[9.0, 9.0], [8.0, 8.0]]]
    entries = {
        "nested first": {"note": {"vectors": other}, "vectors": own, "labels": [0]},
        "in a string": {"note": '"vectors": [[[9, 9], [8, 8]]],', "vectors": own, "labels": [0]},
        "nested only": {"note": {"vectors": other}, "labels": [0]},
        "plain": {"labels": [0], "vectors": own},
        "null": {"vectors": [[[1.5, None], [1, 2]]], "labels": [0]},
    }
    (tmp_path / "set.json").write_text(json.dumps(entries))
    opened = open_submission(tmp_path / "set.json", "predictions")
    for token, entry in entries.items():
        quick = dict(opened.quick_entry(token))
        vectors = quick.pop("vectors", None)
        assert quick == {key: value for key, value in entry.items() if key != "vectors"}
        if hasattr(vectors, "vertices"):
            vectors = [part.tolist() for part in np.split(vectors.vertices, np.cumsum(vectors.counts)[:-1])]
        assert vectors == entry.get("vectors")
        assert opened.entry(token) == entry
    assert hasattr(opened.quick_entry("plain")["vectors"], "vertices")
