"""The data quality of one ledger: how many records had which flaw, by day, and one example of a flaw (S29).

A day is that of the record (days since 1970, UTC). The timestamp comes from the producer and may be anything, so days
are limited to those that windows can see: an older record counts on the oldest of them, a later one counts today, and a
day that has become too old is dropped. What follows from the facts alone has the days of the facts.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from processors.core.time.instants import DAY_MS, DAY_US, FOREVER_US, LONG_AGO_US
from processors.core.time.windows import WINDOWS, in_window
from schemas.errors import Reason

MAX_DAYS: Final = 400
"""Days that are kept at most, at a few hundred bytes each: this bounds the size of a journal position."""
MAX_EXAMPLE_CHARACTERS: Final = 300
"""Characters of an example."""
FOLDED: Final = frozenset({Reason.UNLINKED, Reason.FOREIGN_STAGE, Reason.CYCLE_NEGATIVE})
"""Counted from the facts: there may be fewer again."""

Counts = dict[str, int]
CountsByDay = dict[int, Counts]
"""Day to reason to count."""
NO_DAY: Final = FOREVER_US // DAY_US
"""Later than any: it is held to today."""
NO_EXAMPLES: Final[Mapping[str, str]] = {}


def day_of(timestamp_ms: int | None) -> int:
    """The day of a record's timestamp (milliseconds since 1970); of one without a timestamp, the latest."""
    return NO_DAY if timestamp_ms is None or timestamp_ms < 0 else timestamp_ms // DAY_MS


def day_range(clock_us: int, windows_us: int) -> tuple[int, int]:
    """The oldest day that is kept, and today: of a clock, and of how long windows see what happened."""
    today = clock_us // DAY_US
    return today - min(windows_us // DAY_US, MAX_DAYS - 1), today


class DataQuality:
    """The counts, and which days of them changed since they were last read."""

    __slots__ = ("_changed", "_changed_examples", "_oldest", "_today", "days", "examples")

    def __init__(self) -> None:
        self.days: CountsByDay = {}
        self._changed: set[int] = set()
        self.examples: dict[str, str] = {}
        """Reason to the latest example of it."""
        self._changed_examples: set[str] = set()
        self._oldest = LONG_AGO_US // DAY_US
        self._today = FOREVER_US // DAY_US

    def set_range(self, oldest: int, today: int) -> None:
        """Keep the days from the oldest to today. What was noted on others is dropped, or was too early a guess."""
        if (oldest, today) != (self._oldest, self._today):
            self._oldest, self._today = oldest, today
            self._prune()

    def note(self, reason: str, day: int, more: int = 1) -> None:
        """Count what was wrong with a record of a day."""
        self.count(reason, min(max(day, self._oldest), self._today), more)

    def count(self, reason: str, day: int, more: int) -> None:
        """Count what follows from the facts of a day; a negative `more` takes back what no longer does."""
        counts = self.days.setdefault(day, {})
        counts[reason] = counts.get(reason, 0) + more
        if not counts[reason]:
            del counts[reason]
        if not counts:
            del self.days[day]
        self._changed.add(day)

    def show(self, reason: str, example: str) -> None:
        """Remember the latest example of a reason."""
        self.examples[reason] = example[:MAX_EXAMPLE_CHARACTERS]
        self._changed_examples.add(reason)

    def drain_changed(self) -> tuple[set[int], set[str]]:
        """The days whose counts changed since the last call, and the reasons whose examples did."""
        days, self._changed = self._changed, set()
        reasons, self._changed_examples = self._changed_examples, set()
        return days, reasons

    def noted(self) -> CountsByDay:
        """What must be kept for a restart: everything but what follows from the facts."""
        return {day: left for day, counts in self.days.items() if (left := _without_folded(counts))}

    def restore(self, noted: Mapping[int, Mapping[str, int]], examples: Mapping[str, str]) -> None:
        """Go on from what was noted before a restart."""
        self.days = with_folded(noted, self.days)
        self.examples = dict(examples)
        self._prune()

    def mark_everything(self) -> None:
        """Let everything count as changed."""
        self._changed.update(self.days)
        self._changed_examples.update(self.examples)

    def _prune(self) -> None:
        for day in [day for day in self.days if not self._oldest <= day <= self._today]:
            for reason, count in _without_folded(self.days[day]).items():
                self.count(reason, day, -count)
                if day > self._today:
                    self.count(reason, self._today, count)
        if self.examples:
            left = {reason for counts in self.days.values() for reason in counts}
            for reason in self.examples.keys() - left:
                del self.examples[reason]
                self._changed_examples.add(reason)


def with_folded(noted: Mapping[int, Mapping[str, int]], folded: Mapping[int, Mapping[str, int]]) -> CountsByDay:
    """The data quality by day as it was noted, except for what follows from the facts: of that, the present counts."""
    days = {}
    for day in noted.keys() | folded.keys():
        counts = _without_folded(noted.get(day, {}))
        counts |= {reason: count for reason, count in folded.get(day, {}).items() if reason in FOLDED}
        if counts:
            days[day] = counts
    return days


def by_window(days: Iterable[tuple[int, Mapping[str, int]]], today: int) -> dict[str, Counts]:
    """Window to reason to count."""
    result: dict[str, Counts] = {window: {} for window in WINDOWS}
    for day, counts in days:
        for window, into in result.items():
            if in_window(window, today, day):
                for reason, count in counts.items():
                    into[reason] = into.get(reason, 0) + count
    return result


def quality_lines(counts: Mapping[str, int], read: int) -> Iterator[str]:
    """Counts for people, line by line, with their shares of all records that were read."""
    yield f"data quality of {read:,} records{'' if counts else ': nothing was wrong'}"
    for reason, count in sorted(counts.items()):
        share = f" ({100 * count / read:.1f} %)" if read else ""
        yield f"  {count:,} {reason}{share}"


def _without_folded(counts: Mapping[str, int]) -> Counts:
    return {reason: count for reason, count in counts.items() if reason not in FOLDED}
