"""JSONL files as messages, with a progress bar on a terminal and bad lines kept apart from good ones."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from schemas.codec import decode_message
from schemas.errors import BadRecord, UsageError
from schemas.events import Message

STDIN = "-"
CHUNK_LINES = 5000
MAX_SHOWN_BAD_LINES = 5

EventLine = tuple[str, Message | BadRecord]
"""Its position (`file:line`), and its message or what is wrong with it."""


class BadLine(BadRecord):
    """A line that is no message, with its bytes."""

    def __init__(self, error: BadRecord, raw: bytes) -> None:
        super().__init__(error.reason, error.detail)
        self.raw = raw


class BadLineReport:
    """Lines that cannot count. The first of them are printed to standard error once all are read."""

    def __init__(self) -> None:
        self.any_readable = False
        """Whether there was a message at all, whatever became of it."""
        self._count = 0
        self._first: list[str] = []

    def add(self, position: str, error: BadRecord) -> None:
        """One more."""
        self._count += 1
        if self._count <= MAX_SHOWN_BAD_LINES:
            self._first.append(f"{position}: {error}")

    def print_first(self) -> None:
        """Raises UsageError instead when there were lines, and none was a message: this is another kind of file."""
        if self._count and not self.any_readable:
            raise UsageError(f"{self._first[0]}; none of {self._count} lines is an event: JSONL is expected")
        more = ["more lines cannot count; they are in the report's counts"] * (self._count > MAX_SHOWN_BAD_LINES)
        for line in [*self._first, *more]:
            print(line, file=sys.stderr)  # noqa: T201 -- the command's own output


def read_messages(files: tuple[str, ...]) -> Iterator[EventLine]:
    """Every line of every file in turn; `-` is standard input. Empty lines are passed over. Raises UsageError."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    ) as progress:
        for name in files:
            with _open(name) as stream:
                size = Path(name).stat().st_size if name != STDIN else None
                yield from _read(name, stream, progress, progress.add_task(name, total=size))


def _open(name: str) -> BinaryIO:
    if name == STDIN:
        return sys.stdin.buffer
    try:
        return Path(name).open("rb")
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}; a JSONL file or - for standard input is expected") from error


def _read(name: str, stream: BinaryIO, progress: Progress, task: TaskID) -> Iterator[EventLine]:
    done = 0
    for number, line in enumerate(stream, 1):
        done += len(line)
        if number % CHUNK_LINES == 0:
            progress.update(task, completed=done)
        raw = line.strip()
        if not raw:
            continue
        try:
            yield f"{name}:{number}", decode_message(raw)
        except BadRecord as error:
            yield f"{name}:{number}", BadLine(error, raw)
    progress.update(task, completed=done)
