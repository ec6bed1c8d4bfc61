"""Local days: which date the wall clock of a zone shows at an instant, in integers, right across DST nights."""

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

from schemas.errors import SalespulseError

DAY_US: Final = 86_400_000_000
SECOND_US: Final = 1_000_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_US: Final = 366 * DAY_US
_PROBE_SECONDS: Final = 3 * 86400
"""No zone of the IANA database leaves an offset and comes back to it within three days."""
_FIRST_SECOND: Final = -62_000_000_000
_LAST_SECOND: Final = 253_000_000_000
"""About the years 5 and 9987: beyond, `datetime` cannot hold the local time, and the nearest offset is taken."""

_LARGEST_OFFSET_US: Final = 16 * 3600 * SECOND_US
"""No local time was ever further from UTC."""

Span = tuple[int, int, int]
"""(lo_us, hi_us, offset_us): from lo to before hi, local time is UTC plus the offset."""


class UnknownZone(SalespulseError):
    """A name that the IANA database does not know."""

    def __init__(self, name: str) -> None:
        super().__init__(f"unknown time zone {name!r}: an IANA name such as 'Europe/Berlin' is expected")


class ZoneDays:
    """The days of one zone. Hot code may keep a span, and take `(us + offset_us) // DAY_US` itself while it lasts."""

    __slots__ = ("_latest", "_years", "_zone", "name")

    def __init__(self, name: str) -> None:
        """Raises UnknownZone."""
        self.name = name
        self._zone = _load(name)
        self._years: dict[int, tuple[list[int], list[Span]]] = {}
        self._latest: Span = (0, 0, 0)

    def day(self, us: int) -> int:
        """The local date at an instant (microseconds since 1970), as days since 1970-01-01."""
        lo_us, hi_us, offset_us = self._latest
        if not lo_us <= us < hi_us:
            lo_us, hi_us, offset_us = self._latest = self.span(us)
        return (us + offset_us) // DAY_US

    def span(self, us: int) -> Span:
        """A span of constant offset that contains the instant; it need not be the longest one."""
        year = us // _YEAR_US
        starts, spans = self._years.get(year) or self._learn(year)
        return spans[bisect_right(starts, us) - 1]

    def begin(self, day: int) -> tuple[int, int]:
        """The first instant of a local date, and the one from which on no earlier date comes back.

        They are the same but where clocks go back over midnight.
        """
        midnight = day * DAY_US
        first, final, at = midnight + _LARGEST_OFFSET_US, midnight - _LARGEST_OFFSET_US, midnight - _LARGEST_OFFSET_US
        while at < midnight + _LARGEST_OFFSET_US:
            lo_us, hi_us, offset_us = self.span(at)
            here = midnight - offset_us
            if here < hi_us:
                first = min(first, max(here, lo_us))
            if here > lo_us:
                final = max(final, min(here, hi_us))
            at = hi_us
        return first, final

    def _learn(self, year: int) -> tuple[list[int], list[Span]]:
        """The spans of 366 days, kept."""
        lo, hi = year * _YEAR_US // SECOND_US, (year + 1) * _YEAR_US // SECOND_US
        starts = [lo, *self._changes(lo, hi)]
        ends = [*starts[1:], hi]
        spans = [(a * SECOND_US, b * SECOND_US, self._offset(a) * SECOND_US) for a, b in zip(starts, ends, strict=True)]
        learnt = self._years[year] = ([span[0] for span in spans], spans)
        return learnt

    def _changes(self, lo: int, hi: int) -> list[int]:
        """The seconds after `lo` and before `hi` at which the offset changes."""
        changes = []
        before, old = lo, self._offset(lo)
        while before < hi - 1:
            after = min(before + _PROBE_SECONDS, hi - 1)
            new = self._offset(after)
            while old != new:
                before = self._first_change(before, after, old)
                old = self._offset(before)
                changes.append(before)
            before = after
        return changes

    def _first_change(self, before: int, after: int, old: int) -> int:
        """The second at which the offset `old` of `before` ends, which it does up to `after`."""
        while after - before > 1:
            middle = (before + after) // 2
            if self._offset(middle) == old:
                before = middle
            else:
                after = middle
        return after

    def _offset(self, second: int) -> int:
        """Seconds from UTC to local time at a second since 1970."""
        held = min(max(second, _FIRST_SECOND), _LAST_SECOND)
        offset = (_EPOCH + timedelta(seconds=held)).astimezone(self._zone).utcoffset()
        return int(offset.total_seconds()) if offset else 0


@cache
def zone_days(name: str) -> ZoneDays:
    """The shared days of a zone, so that its spans are learnt once; raises UnknownZone, which is not kept."""
    return ZoneDays(name)


def _load(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise UnknownZone(name) from error
