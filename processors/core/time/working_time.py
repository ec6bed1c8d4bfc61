"""Working time: how much of it lies between two instants, and when a given amount has passed (S16).

An instant is working time when the wall clock of the calendar's zone shows a working hour of the date it shows. So an
hour that a DST night skips does not count, and one that it repeats counts twice. Nothing steps through time: inside a
span of constant UTC offset, the working time since 1970 is a closed formula of the local time (whole weeks, weekdays
before, minutes of the day, plus what exceptions differ), and so is its inverse.
"""

from bisect import bisect_left
from itertools import accumulate
from typing import Final

from mypy_extensions import mypyc_attr

from processors.core.time.zones import DAY_US, Span, zone_days
from schemas.errors import SalespulseError
from schemas.policy import CalendarSpec, Hours

MINUTE_US: Final = 60_000_000
MAX_IDLE_DAYS: Final = 366

_MONDAY_OFFSET: Final = 3
"""1970-01-01 was a Thursday, the third day after a Monday."""


class NoWorkingTime(SalespulseError):
    """A calendar that closes for 366 days or more, so that a deadline in working time would never come."""


@mypyc_attr(allow_interpreted_subclasses=True)
class WorkingCalendar:
    """The working hours of one zone. Instants are microseconds since 1970, durations microseconds."""

    __slots__ = ("_days", "_exceptions", "_exceptions_by_day", "_hours", "_latest", "_week", "_zone")

    def __init__(self, spec: CalendarSpec) -> None:
        """Raises UnknownZone and NoWorkingTime."""
        self._zone = zone_days(spec.time_zone)
        self._latest: Span = (0, 0, 0)
        self._hours = tuple(_in_us(hours) for hours in spec.week)
        self._week = _Week(self._hours)
        if not self._week.total:
            raise NoWorkingTime("the week has no working hours at all")
        self._days = sorted(spec.exceptions)
        self._exceptions_by_day = {day: _in_us(spec.exceptions[day]) for day in self._days}
        self._exceptions = _Exceptions(self._week, self._days, self._exceptions_by_day)
        self._refuse_long_idleness()

    def business_us(self, start_us: int, end_us: int) -> int:
        """The working time from one instant to a later one, the end excluded; raises ValueError for an earlier one."""
        if end_us < start_us:
            raise ValueError(f"the end {end_us} is before the start {start_us}")
        _, hi_us, offset_us = self._span(start_us)
        total = 0
        while end_us > hi_us:
            total += self._worked(hi_us + offset_us) - self._worked(start_us + offset_us)
            start_us = hi_us
            _, hi_us, offset_us = self._span(start_us)
        return total + self._worked(end_us + offset_us) - self._worked(start_us + offset_us)

    def add_business(self, start_us: int, duration_us: int) -> int:
        """The first instant at which that much working time has passed since the start; the start itself for 0."""
        if duration_us <= 0:
            return start_us
        while True:
            _, hi_us, offset_us = self._span(start_us)
            aim = self._worked(start_us + offset_us) + duration_us
            due_us = self._first_with(aim) - offset_us
            if due_us <= hi_us:
                return due_us
            duration_us = aim - self._worked(hi_us + offset_us)
            start_us = hi_us

    def last_within(self, start_us: int, duration_us: int) -> int:
        """The last instant at which no more than that much working time has passed since the start (S09).

        It differs from `add_business` only where the duration is used up at closing time: there it is the next opening.
        """
        return self.add_business(start_us, duration_us + 1) - 1

    def _span(self, us: int) -> Span:
        """The zone's span at an instant. Most questions are of the same time of year as the latest one."""
        span = self._latest
        if not span[0] <= us < span[1]:
            span = self._latest = self._zone.span(us)
        return span

    def _worked(self, local_us: int) -> int:
        """The working time from 1970 to a local time, on a clock that is never set."""
        day, time = divmod(local_us, DAY_US)
        week, weekday = divmod(day + _MONDAY_OFFSET, 7)
        worked = week * self._week.total + self._week.before[weekday]
        hours = self._hours[weekday]
        if self._days:
            worked += self._exceptions.more[bisect_left(self._days, day)]
            hours = self._exceptions_by_day.get(day, hours)
        for start, end in hours:
            if time < end:
                return worked + time - start if time > start else worked
            worked += end - start
        return worked

    def _first_with(self, aim: int) -> int:
        """The first local time at which `_worked` is `aim`."""
        exceptions = self._exceptions
        index = bisect_left(exceptions.ends, aim)
        if index < len(self._days) and exceptions.starts[index] < aim:
            day = self._days[index]
            return day * DAY_US + _time_of(self._exceptions_by_day[day], aim - exceptions.starts[index])
        return self._week.first_with(aim - exceptions.more[index])

    def _refuse_long_idleness(self) -> None:
        """Only a run of exceptions can close for so long: look at the pause around each of them."""
        for day in self._days:
            worked = self._worked(day * DAY_US)
            idle_days = (self._first_with(worked + 1) - self._first_with(worked)) // DAY_US
            if idle_days >= MAX_IDLE_DAYS:
                raise NoWorkingTime(f"{idle_days} days in a row have no working hours; fewer than {MAX_IDLE_DAYS} may")


class _Week:
    """The working time of weeks that all are alike."""

    __slots__ = ("_hours", "_through", "before", "total")

    def __init__(self, hours: tuple[Hours, ...]) -> None:
        self._hours = hours
        self._through = list(accumulate(map(_length, hours)))
        self.before = [0, *self._through[:-1]]
        """The working time from Monday to each weekday."""
        self.total = self._through[-1]

    def worked(self, day: int) -> int:
        """The working time from 1970 to the beginning of a day."""
        week, weekday = divmod(day + _MONDAY_OFFSET, 7)
        return week * self.total + self.before[weekday]

    def length(self, day: int) -> int:
        """The working time of a day."""
        return _length(self._hours[(day + _MONDAY_OFFSET) % 7])

    def first_with(self, aim: int) -> int:
        """The first local time at which so much was worked since 1970."""
        week, rest = divmod(aim - 1, self.total)
        rest += 1
        weekday = bisect_left(self._through, rest)
        day = week * 7 + weekday - _MONDAY_OFFSET
        return day * DAY_US + _time_of(self._hours[weekday], rest - self.before[weekday])


class _Exceptions:
    """What dated exceptions add to the weeks' working time: one entry for each of the days, ascending."""

    __slots__ = ("ends", "more", "starts")

    def __init__(self, week: _Week, days: list[int], hours: dict[int, Hours]) -> None:
        lengths = [_length(hours[day]) for day in days]
        extra = [length - week.length(day) for day, length in zip(days, lengths, strict=True)]
        self.more = list(accumulate(extra, initial=0))
        """By how much the exceptions before each day, and at last all of them, differ from the weeks."""
        self.starts = [week.worked(day) + more for day, more in zip(days, self.more, strict=False)]
        self.ends = [start + length for start, length in zip(self.starts, lengths, strict=True)]
        """The working time from 1970 to the beginning and to the end of each day."""


def _in_us(hours: Hours) -> Hours:
    return tuple((start * MINUTE_US, end * MINUTE_US) for start, end in hours)


def _length(hours: Hours) -> int:
    return sum(end - start for start, end in hours)


def _time_of(hours: Hours, worked: int) -> int:
    """The first time of the day at which so much of its hours has passed."""
    for start, end in hours:
        if worked <= end - start:
            return start + worked
        worked -= end - start
    raise ValueError(f"the day is {worked} microseconds too short")
