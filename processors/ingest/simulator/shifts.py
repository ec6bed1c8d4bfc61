"""When a rep works: local working hours with a lunch break, no weekends, some days off, right across DST nights."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec

from processors.core.time.instants import HOUR_US, instant_us
from processors.core.time.zones import zone_days

_EPOCH_DAY = date(1970, 1, 1)
_FRIDAY = 4
_HOLIDAYS = frozenset({(1, 1), (5, 1), (12, 25), (12, 26)})
_OFF_CYCLE, _OFF_LENGTH = 61, 4
"""Of every 61 days a rep takes four in a row."""

Span = tuple[int, int]


class WorkingHours(msgspec.Struct, frozen=True):
    """A working day, in hours after local midnight."""

    begin: float
    lunch: float
    end: float

    LUNCH_HOURS = 0.75


class Shift:
    """The working time of one rep. Instants and durations are microseconds, days local ones since 1970-01-01."""

    def __init__(self, zone: str, hours: WorkingHours, salt: int) -> None:
        """`salt` decides which days the rep takes off."""
        self._zone = ZoneInfo(zone)
        self._days = zone_days(zone)
        self._hours = hours
        self._salt = salt
        self._spans: dict[int, tuple[Span, ...]] = {}

    def day(self, at_us: int) -> int:
        """The local day of an instant."""
        return self._days.day(at_us)

    def midnight_us(self, day: int) -> int:
        """The instant at which a local day begins."""
        return self._at(_EPOCH_DAY + timedelta(days=day), 0.0)

    def spans(self, day: int) -> tuple[Span, ...]:
        """The working spans of a local day, from begin to before end; none on a day off."""
        known = self._spans.get(day)
        if known is None:
            known = self._spans[day] = self._work(day)
        return known

    def later(self, at_us: int, work_us: int) -> int:
        """The instant at which `work_us` of working time have passed since `at_us`; with 0: when work begins."""
        day, left_us = self.day(at_us), work_us
        while True:
            for begin_us, end_us in self.spans(day):
                from_us = max(begin_us, at_us)
                if from_us + left_us < end_us:
                    return from_us + left_us
                left_us -= max(0, end_us - from_us)
            day += 1

    def at_work(self, day: int, share: float) -> int:
        """The instant at which this share (0 to less than 1) of a working day's time has passed."""
        spans = self.spans(day)
        left_us = int(share * sum(end_us - begin_us for begin_us, end_us in spans))
        return self.later(spans[0][0], left_us)

    def _work(self, day: int) -> tuple[Span, ...]:
        local = _EPOCH_DAY + timedelta(days=day)
        off = (day + self._salt) % _OFF_CYCLE < _OFF_LENGTH
        if off or local.weekday() > _FRIDAY or (local.month, local.day) in _HOLIDAYS:
            return ()
        hours = self._hours
        morning = self._at(local, hours.begin), self._at(local, hours.lunch)
        return morning, (self._at(local, hours.lunch + hours.LUNCH_HOURS), self._at(local, hours.end))

    def _at(self, local: date, hour: float) -> int:
        """Wall-clock time, so that work begins at nine on the day of a DST change as well."""
        minutes = round(hour * 60)
        return instant_us(datetime.combine(local, time(minutes // 60, minutes % 60), self._zone))


def in_hours(hours: float) -> int:
    """Hours in microseconds."""
    return int(hours * HOUR_US)
