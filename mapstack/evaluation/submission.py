"""Predictions and targets by token: dicts or JSON files of the Online HD Map Construction challenge's form.

``{"meta": {...}, "results": {token: {"vectors": [[[x, y], ...], ...], "labels": [...], "scores": [...]}}}``, or
the inner dict alone; ego metres. A file is never held in memory: one pass notes where each frame lies, and a
frame is parsed when it is asked for, so that a file of gigabytes is read within megabytes.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mapstack.errors import DataError

from .number_lists import parse_number_lists

__all__ = ["Entry", "Submission", "open_submission", "write_submission"]

Entry = Mapping[str, object]  # keys: vectors, labels, scores and, where a protocol asks, track_ids, topology, scene...

CHUNK_BYTES = 1 << 20
LONGEST_STRING_BYTES = 1 << 26
# One character class first: the search for the next mark then skips numbers at the speed of memchr.
MARKS = re.compile(rb'["{}](?:(?<=")[^"\\]*(?:\\.[^"\\]*)*"\s*(?::\s*)?)?', re.DOTALL)
VECTORS = re.compile(rb'"vectors"\s*:\s*(\[[\[\]0-9eE+\-.,\s]*\])\s*[,}]')
STAND_IN = "\x00vectors"  # what no file holds: shows that the text cut out was the entry's own "vectors"


class Submission:
    """The frames of one side, by token.

    Args:
        name: what error messages call it: a path, or "predictions" and "targets".
        meta: the file's "meta" object.
        entries: token to entry, of which only keys and look-up are used.
    """

    def __init__(self, name: str, meta: Mapping[str, object], entries: Mapping[str, Entry]) -> None:
        self.name, self.meta, self._entries = name, meta, entries

    @property
    def tokens(self) -> list[str]:
        """All tokens, sorted."""
        return sorted(self._entries)

    def entry(self, token: str) -> Entry:
        """One frame as it stands in the file; the caller checks it."""
        return self._mapping(token, self._entries[token])

    def quick_entry(self, token: str) -> Entry:
        """Like :meth:`entry`, but "vectors" may be :class:`Polylines`, where that spares the way through lists."""
        read = getattr(self._entries, "quick", self._entries.__getitem__)
        return self._mapping(token, read(token))

    def _mapping(self, token: str, entry: object) -> Entry:
        if not isinstance(entry, Mapping):
            raise DataError(f"{self.name}: token {token} holds {type(entry).__name__}, not an object with vectors")
        return entry


def open_submission(source: Mapping | str | Path | Submission, name: str) -> Submission:
    """Open a dict or a JSON file; ``name`` is what messages call a dict."""
    if isinstance(source, Submission):
        return source
    if isinstance(source, Mapping):
        if isinstance(source.get("results"), Mapping):
            return Submission(name, source.get("meta") or {}, source["results"])
        return Submission(name, {}, source)
    path = Path(source)
    if not path.is_file():
        raise DataError(f"{name}: no file {path}")
    meta, spans = _index_file(path)
    return Submission(str(path), meta, _FileEntries(path, spans))


def write_submission(
    path: str | Path, entries: Iterable[tuple[str, Entry]], meta: Mapping[str, object] | None = None
) -> None:
    """Write frames one by one in the challenge's form, whole or not at all.

    Args:
        path: the file; a ``.tmp`` beside it is renamed to it at the end.
        entries: (token, entry), entries of plain lists and numbers.
        meta: what made the file: classes, rules of the truth, model.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write('{"meta": ' + json.dumps(meta or {}) + ', "results": {')
        for number, (token, entry) in enumerate(entries):
            file.write((",\n" if number else "\n") + json.dumps(token) + ": " + json.dumps(entry, allow_nan=False))
        file.write("\n}}\n")
    os.replace(temporary, path)


class _FileEntries(Mapping):
    """Token to entry, read from the file on demand."""

    def __init__(self, path: Path, spans: dict[str, tuple[int, int]]) -> None:
        self._path, self._spans = path, spans
        self._file = path.open("rb")

    def __iter__(self) -> Iterator[str]:
        return iter(self._spans)

    def __len__(self) -> int:
        return len(self._spans)

    def __getitem__(self, token: str) -> object:
        return self._loads(token, self._text(token))

    def quick(self, token: str) -> object:
        """The entry with its vectors read by NumPy if they are plainly written, else as ``self[token]``."""
        text = self._text(token)
        found = VECTORS.search(text)
        lines = parse_number_lists(found.group(1)) if found else None
        if lines is not None:
            entry = self._loads(token, text[: found.start(1)] + json.dumps(STAND_IN).encode() + text[found.end(1) :])
            if isinstance(entry, dict) and entry.get("vectors") == STAND_IN:
                return {**entry, "vectors": lines}
        return self._loads(token, text)

    def _text(self, token: str) -> bytes:
        start, end = self._spans[token]
        self._file.seek(start)
        return self._file.read(end - start)

    def _loads(self, token: str, text: bytes) -> object:
        try:
            return json.loads(text)
        except ValueError as error:
            raise DataError(f"{self._path}: token {token} is not valid JSON: {error}") from error

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()


def _marks(path: Path) -> Iterator[tuple[bytes, int, int]]:
    """(text, start, end) of each brace and each string, with colon and blanks behind it, in file order."""
    with path.open("rb") as file:
        base, buffer, last = 0, b"", False
        while not last:
            chunk = file.read(CHUNK_BYTES)
            last = not chunk
            buffer += chunk
            if len(buffer) > LONGEST_STRING_BYTES:
                raise DataError(f"{path}: a string at byte {base} has no end; write the file again")
            done = len(buffer)
            for mark in MARKS.finditer(buffer):
                # A string that reaches the end of the buffer may go on, or its colon may, in the next chunk.
                text = mark.group()
                if text == b'"' or (not last and text[:1] == b'"' and mark.end() == len(buffer)):
                    done = mark.start()
                    break
                yield text, base + mark.start(), base + mark.end()
            base, buffer = base + done, buffer[done:]


class _Index:
    """Byte spans of the frames, gathered from the marks of a file without parsing any frame."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.outer: dict[str, tuple[int, int]] = {}
        self.results: dict[str, tuple[int, int]] | None = None
        self.scalars: list[str] = []
        self._depth = 0
        self._seen_top = False
        self._key: tuple[str, int] | None = None  # a key that waits for its value, and where that must begin
        self._opened: tuple[str, int, int] | None = None  # key, start and depth of the object being skipped
        for text, start, end in _marks(path):
            if text == b"{":
                self._open(start)
            elif text == b"}":
                self._close(end)
            elif self._opened is None and text.rstrip().endswith(b":"):
                self._drop_key()
                self._key = (json.loads(text.rstrip()[:-1]), end)
        self._drop_key()
        if self._depth or not self._seen_top:
            raise DataError(f"{path} is not a whole JSON object ({self._depth} braces left open); write it again")

    def _open(self, start: int) -> None:
        self._depth += 1
        if self._depth == 1:
            self._seen_top = True
        elif self._opened is None:
            key, value_at = self._key or ("the file", -1)
            if value_at != start:
                raise DataError(f"{self.path}: {key} should be an object with vectors and labels, see byte {start}")
            self._key = None
            if self._depth == 2 and key == "results":
                self.results = {}
            else:
                self._opened = (key, start, self._depth)

    def _close(self, end: int) -> None:
        if self._opened is not None and self._depth == self._opened[2]:
            spans = self.results if self._depth == 3 and self.results is not None else self.outer
            key, start, _ = self._opened
            if key in spans:
                raise DataError(f"{self.path}: token {key} appears twice; keep one")
            spans[key] = (start, end)
            self._opened = None
        elif self._depth == 2:
            self._drop_key()
        self._depth -= 1

    def _drop_key(self) -> None:
        """A key whose value was no object: of no interest beside "results", an error where frames are listed."""
        if self._key is not None:
            if self._depth == 2:
                raise DataError(f"{self.path}: token {self._key[0]} should be an object with vectors and labels")
            self.scalars.append(self._key[0])
        self._key = None


def _index_file(path: Path) -> tuple[dict, dict[str, tuple[int, int]]]:
    """The "meta" object and the byte span of each token's object."""
    index = _Index(path)
    outer = dict(index.outer)
    meta_span = outer.pop("meta", None)
    if index.results is None and index.scalars:
        raise DataError(f"{path}: {index.scalars[0]} should be an object with vectors and labels")
    meta = _FileEntries(path, {"meta": meta_span})["meta"] if meta_span else {}
    return meta, outer if index.results is None else index.results
