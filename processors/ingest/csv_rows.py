"""The rows of a CSV file with their line numbers, and errors for files that are not what they should be."""

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from processors.ingest.mapping import CsvMapping
from schemas.errors import UsageError

NumberedRow = tuple[int, dict[str, str] | None]
"""The line on which a row begins, counted from 1, and its cells by column, stripped; None: their number is wrong."""


def read_rows(path: Path, mapping: CsvMapping) -> Iterator[NumberedRow]:
    """The rows below the header; empty lines are passed over. Raises UsageError naming the file and what is wrong."""
    try:
        with path.open(encoding=_encoding(mapping), newline="") as stream:
            yield from _rows(path, stream, mapping)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); a CSV file is expected") from error
    except UnicodeError as error:
        raise UsageError(
            f"{path}:{_undecodable_line(path, mapping)}: is not written in {mapping.file.encoding}; "
            "the mapping's file.encoding says which encoding to expect"
        ) from error


def _rows(path: Path, stream: TextIO, mapping: CsvMapping) -> Iterator[NumberedRow]:
    reader = csv.reader(stream, delimiter=mapping.file.delimiter, quotechar=mapping.file.quote, strict=True)
    line = 1
    header: list[str] | None = None
    try:
        for fields in reader:
            if header is None:
                header = _header(path, fields, mapping)
            elif fields:
                cells = [field.strip() for field in fields]
                yield line, dict(zip(header, cells, strict=True)) if len(cells) == len(header) else None
            line = reader.line_num + 1
    except csv.Error as error:
        raise UsageError(f"{path}:{line}: the row that begins here is no CSV: {error}") from error
    if header is None:
        raise UsageError(f"{path}: is empty; a first line with the names of the columns is expected")


def _header(path: Path, fields: list[str], mapping: CsvMapping) -> list[str]:
    header = [field.strip() for field in fields]
    needed = mapping.needed_columns()
    twice = sorted(name for name, times in Counter(header).items() if times > 1 and name in needed)
    if twice:
        raise UsageError(f"{path}:1: the header names {', '.join(twice)} more than once: which one is meant?")
    absent = sorted(needed - set(header))
    if absent:
        raise UsageError(f"{path}:1: the mapping needs {', '.join(absent)}; the header has {', '.join(header)}")
    return header


def _encoding(mapping: CsvMapping) -> str:
    """UTF-8 with or without a byte order mark."""
    encoding = mapping.file.encoding
    return "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding


def _undecodable_line(path: Path, mapping: CsvMapping) -> int:
    encoding = _encoding(mapping)
    raw = path.read_bytes()
    try:
        raw.decode(encoding)
    except UnicodeDecodeError as error:
        return raw[: error.start].decode(encoding, "replace").count("\n") + 1
    return 1
