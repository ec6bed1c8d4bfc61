"""Progress bars on standard error, where that is a terminal."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

T = TypeVar("T")

UPDATE_EVERY = 1000
"""Messages between two steps of a progress bar."""


class ProgressBar:
    """Passes things on and moves a progress bar with them."""

    def __init__(self, progress: Progress, what: str, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=total)

    def __call__(self, things: Iterable[T]) -> Iterator[T]:
        """Yield the same things."""
        number = 0
        for number, thing in enumerate(things, 1):
            yield thing
            if number % UPDATE_EVERY == 0:
                self._progress.update(self._task, completed=number)
        self._progress.update(self._task, completed=number)


@contextmanager
def progress_bar(what: str, total: int | None) -> Iterator[ProgressBar]:
    """A progress bar on standard error, if that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        yield ProgressBar(progress, what, total)
