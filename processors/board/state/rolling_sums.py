"""The partials of one rep, team or company, by day and source partition, and their sums over the windows.

Partials stay msgpack bytes, because there may be millions. A change is only noted; `ending_on` then adds what changed
and subtracts the days that left each window. Integers make that exact.
"""

from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from operator import attrgetter

import msgspec

from processors.core.reports.window_sums import add
from processors.core.time.windows import WINDOWS
from schemas.views import Partial

PARTITIONS = 65536
"""An upper bound: the key of a partial is day * PARTITIONS + partition."""

Sums = tuple[Partial, ...]
"""One sum for each of WINDOWS, in its order. Read them at once: they change in place."""

_WINDOW_DAYS = [length for length in WINDOWS.values() if length is not None]
_MAX_ROLL_DAYS = 31
"""After more days than these, adding everything up again is cheaper."""

EVERY_FIELD = -1
"""`bits_of` every field of Partial."""
_BITS = {name: 1 << index for index, name in enumerate(Partial.__struct_fields__)}
_values = attrgetter(*_BITS)

_decode = msgspec.msgpack.Decoder(Partial).decode


class WindowSums:
    """Partials of one rep, team or company."""

    __slots__ = ("_before", "_moved", "_raw", "_sums", "_today")

    def __init__(self) -> None:
        self._raw: dict[int, bytes] = {}
        self._before: dict[int, bytes | None] = {}
        self._sums: Sums | None = None
        self._moved = EVERY_FIELD
        self._today = 0

    def put(self, partition: int, day: int, raw: bytes | None) -> bool:
        """Set a partial; None removes it. Returns whether anything changed."""
        key = _key(partition, day)
        old = self._raw.get(key)
        if old == raw:
            return False
        if self._sums is not None:
            self._before.setdefault(key, old)
        if raw is None:
            del self._raw[key]
        else:
            self._raw[key] = raw
        return True

    def days(self, partition: int) -> Iterator[int]:
        """The days on which a partition has a partial."""
        for key in list(self._raw):
            if key % PARTITIONS == partition:
                yield key // PARTITIONS

    def daily_sums(self, first: int, last: int) -> list[Partial]:
        """The sum of each day from first to last."""
        result = [Partial() for _ in range(first, last + 1)]
        for key, raw in self._raw.items():
            if first <= key // PARTITIONS <= last:
                add(result[key // PARTITIONS - first], _decode(raw))
        return result

    def __bool__(self) -> bool:
        return bool(self._raw)

    def ending_on(self, today: int) -> Sums:
        """The sums of the windows that end on a day."""
        if self._sums is None or not 0 <= today - self._today <= _MAX_ROLL_DAYS:
            self._sums = self._add_up(today)
        else:
            self._catch_up(self._sums)
            self._roll(self._sums, today)
        self._before.clear()
        self._today = today
        return self._sums

    def drain_moved(self) -> int:
        """The fields in which any sum changed since the last call, as bits. Call `ending_on` first."""
        moved, self._moved = self._moved, 0
        return moved

    def _add_up(self, today: int) -> Sums:
        sums = tuple(Partial() for _ in WINDOWS)
        self._moved = EVERY_FIELD
        for key, raw in self._raw.items():
            add(sums[_shortest(today, key // PARTITIONS)], _decode(raw))
        for shorter, longer in pairwise(sums):
            add(longer, shorter)
        return sums

    def _catch_up(self, sums: Sums) -> None:
        """Add what changed since the sums were made, as of the day they were made for."""
        for key, old in self._before.items():
            new = self._raw.get(key)
            change = Partial() if new is None else _decode(new)
            if old is not None:
                add(change, _decode(old), -1)
            self._moved |= _moved_by(change)
            for into in sums[_shortest(self._today, key // PARTITIONS) :]:
                add(into, change)

    def _roll(self, sums: Sums, today: int) -> None:
        """Subtract the days that left each window."""
        if today == self._today:
            return
        partitions = {key % PARTITIONS for key in self._raw}
        for into, length in zip(sums, _WINDOW_DAYS, strict=False):
            for day in range(self._today - length + 1, today - length + 1):
                for partition in partitions:
                    raw = self._raw.get(day * PARTITIONS + partition)
                    if raw is not None:
                        part = _decode(raw)
                        self._moved |= _moved_by(part)
                        add(into, part, -1)


@lru_cache(maxsize=65536)
def _key(partition: int, day: int) -> int:
    """Cached, so that equal keys share one object: there may be millions of keys, and few different ones."""
    return day * PARTITIONS + partition


def bits_of(*fields: str) -> int:
    """Fields of Partial as bits."""
    return sum(_BITS[field] for field in fields)


def _moved_by(part: Partial) -> int:
    """The fields that are not zero."""
    return sum(bit for bit, value in zip(_BITS.values(), _values(part), strict=True) if value)


def _shortest(today: int, day: int) -> int:
    """The index of the shortest window that contains a day."""
    return bisect_right(_WINDOW_DAYS, today - day)
