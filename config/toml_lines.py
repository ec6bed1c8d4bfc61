"""The line of each key of a valid TOML text, which `tomllib` does not report."""

import re
from collections.abc import Iterator

KeyPath = tuple[str | int, ...]
"""Keys and indexes from the top of the document: `("levels", 0, "seconds")`."""

_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*"
    r"|[\[\]{}\n]"
    r"|[^\"'\#\[\]{}\n]+",
    re.DOTALL,
)
_KEY = re.compile(r"""\s*(?:"((?:\\.|[^"\\])*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*(\.?)""")


class TomlLines:
    """The lines of all tables and keys of a text."""

    def __init__(self, text: str) -> None:
        self._lines: dict[KeyPath, int] = {}
        self._lengths: dict[KeyPath, int] = {}
        table: KeyPath = ()
        for line, statement in _statements(text):
            if statement.startswith("[["):
                table = self._next_element(_keys(statement[2:]))
            elif statement.startswith("["):
                table = self._resolve((), _keys(statement[1:]))
            self._lines.setdefault(table, line)
            if not statement.startswith("["):
                self._note(table, _keys(statement), line)

    def line(self, path: KeyPath) -> int | None:
        """The line of a key, counted from 1, or of the nearest table around it; None for the document as a whole."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._lines:
                return self._lines[path[:length]]
        return None

    def _next_element(self, keys: list[str]) -> KeyPath:
        """`[[a.b]]` begins one more element of its array."""
        array = (*self._resolve((), keys[:-1]), keys[-1])
        index = self._lengths.get(array, 0)
        self._lengths[array] = index + 1
        return (*array, index)

    def _resolve(self, start: KeyPath, keys: list[str]) -> KeyPath:
        """The path of dotted keys: where one names an array of tables, its latest element is meant."""
        path = start
        for key in keys:
            path = (*path, key)
            if path in self._lengths:
                path = (*path, self._lengths[path] - 1)
        return path

    def _note(self, table: KeyPath, keys: list[str], line: int) -> None:
        for length in range(1, len(keys) + 1):
            self._lines.setdefault((*table, *keys[:length]), line)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Line and text of every header and every key with its value, without comments."""
    depth, line, begin = 0, 1, 1
    parts: list[str] = []
    for piece in _TOKEN.findall(text):
        if piece == "\n" and depth == 0:
            yield from _statement(begin, parts)
            parts, begin = [], line + 1
        elif not piece.startswith("#"):
            depth += (piece in "[{") - (piece in "]}")
            parts.append(piece)
        line += piece.count("\n")
    yield from _statement(begin, parts)


def _statement(line: int, parts: list[str]) -> Iterator[tuple[int, str]]:
    text = "".join(parts).strip()
    if text:
        yield line, text


def _keys(text: str) -> list[str]:
    """The dotted keys at the beginning of a text, without their quotes."""
    keys, at, more = [], 0, True
    while more and (match := _KEY.match(text, at)):
        basic, literal, bare, dot = match.groups()
        keys.append(next(part for part in (basic, literal, bare) if part is not None))
        at, more = match.end(), bool(dot)
    return keys
