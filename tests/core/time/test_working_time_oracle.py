"""Working time equals what an oracle counts minute by minute, on random calendars with holidays and DST nights (S16).

`SALESPULSE_LONG=1` draws twenty times as many calendars.
"""

import os
from bisect import bisect_left, bisect_right
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from random import Random
from zoneinfo import ZoneInfo

import pytest

from processors.core.time.working_time import WorkingCalendar
from schemas.policy import CalendarSpec, Hours

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE_US = 60_000_000
DAY_MINUTES = 1440

ZONES = {
    "Europe/Berlin": "2026-01-01",
    "America/New_York": "2026-02-01",
    "Australia/Lord_Howe": "2026-01-01",
    "Africa/Casablanca": "2026-01-01",
    "Asia/Kolkata": "1969-09-01",
    "America/St_Johns": "2037-10-01",
    "Pacific/Apia": "2011-04-01",
    "Europe/London": "1971-07-01",
}
"""Zones and the first day to look at: half hours, Ramadan, a skipped date, 2038, before 1970, a year of summer time."""
DAYS = 300
CASES = 1_250
CALENDARS = 20 if os.environ.get("SALESPULSE_LONG") else 1


class MinuteByMinute:
    """A calendar as people read it: for every minute, look at the wall clock, and at the hours of the date it shows."""

    def __init__(self, spec: CalendarSpec, first: date) -> None:
        self.start_us = (datetime(first.year, first.month, first.day, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
        self.end_us = self.start_us + DAYS * DAY_MINUTES * MINUTE_US
        self._zone = ZoneInfo(spec.time_zone)
        self._spec = spec
        self._open_minutes: dict[tuple[int, int, int], frozenset[int]] = {}
        begin = EPOCH + timedelta(microseconds=self.start_us)
        minutes = (begin + timedelta(minutes=number) for number in range(DAYS * DAY_MINUTES))
        self._worked = list(accumulate((MINUTE_US * self._is_open(minute) for minute in minutes), initial=0))

    def business_us(self, start_us: int, end_us: int) -> int:
        return self._until(end_us) - self._until(start_us)

    def add_business(self, start_us: int, duration_us: int) -> int | None:
        aim = self._until(start_us) + duration_us
        after = bisect_left(self._worked, aim)
        if after == len(self._worked):
            return None
        return self.start_us + (after - 1) * MINUTE_US + aim - self._worked[after - 1]

    def last_within(self, start_us: int, duration_us: int) -> int | None:
        """The last instant at which no more than so much was worked: counted in minutes, exact within the last one."""
        aim = self._until(start_us) + duration_us
        after = bisect_right(self._worked, aim)
        if after == len(self._worked):
            return None
        return self.start_us + (after - 1) * MINUTE_US + aim - self._worked[after - 1]

    def _is_open(self, minute: datetime) -> bool:
        local = minute.astimezone(self._zone)
        return local.hour * 60 + local.minute in self._open(local)

    def _open(self, local: datetime) -> frozenset[int]:
        key = (local.year, local.month, local.day)
        known = self._open_minutes.get(key)
        if known is None:
            hours = self._spec.exceptions.get(days_since_1970(local.date()), self._spec.week[local.weekday()])
            known = frozenset(minute for start, end in hours for minute in range(start, end))
            self._open_minutes[key] = known
        return known

    def _until(self, us: int) -> int:
        minute, rest = divmod(us - self.start_us, MINUTE_US)
        worked = self._worked[minute]
        return worked + rest if rest and self._worked[minute + 1] > worked else worked


def days_since_1970(day: date) -> int:
    return day.toordinal() - EPOCH.toordinal()


def draw_hours(random: Random) -> Hours:
    """None to three intervals: some from or to midnight, some that touch, some in the hours of DST nights."""
    kind = random.random()
    if kind < 0.15:
        return ()
    if kind < 0.25:
        return ((0, DAY_MINUTES),)
    if kind < 0.5:
        return ((540, 720), (780, 1050))
    edges = sorted({0, DAY_MINUTES, 120, 150, 180, *random.sample(range(DAY_MINUTES), 3)})
    chosen = sorted(random.sample(edges, 2 * random.randint(1, 3)))
    return tuple(zip(chosen[::2], chosen[1::2], strict=True))


def draw_spec(random: Random, zone: str, first: date) -> CalendarSpec:
    week = tuple(draw_hours(random) for _ in range(6))
    start = days_since_1970(first)
    holidays = {start + random.randrange(DAYS): () for _ in range(10)}
    own = {start + random.randrange(DAYS): draw_hours(random) for _ in range(5)}
    shutdown = start + random.randrange(DAYS)
    closed = dict.fromkeys(range(shutdown, shutdown + random.randrange(20)), ())
    return CalendarSpec(time_zone=zone, week=(*week, ((600, 601),)), exceptions={**holidays, **own, **closed})


def draw_wait(random: Random, oracle: MinuteByMinute) -> tuple[int, int]:
    """Up to two days or up to all the days, at any microsecond or at the very beginning of minutes."""
    start_us = random.randrange(oracle.start_us, oracle.end_us)
    longest_us = min(oracle.end_us - start_us, random.choice((2, DAYS)) * DAY_MINUTES * MINUTE_US)
    end_us = start_us + random.randrange(longest_us)
    return (
        (start_us, end_us) if random.random() < 0.7 else (start_us - start_us % MINUTE_US, end_us - end_us % MINUTE_US)
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(CALENDARS))
@pytest.mark.parametrize("zone", ZONES)
def test_s16_working_time_is_what_is_counted_minute_by_minute(zone: str, number: int) -> None:
    """Section 8, case 4: 10,000 cases over all zones."""
    random = Random(f"calendar {zone} {number}")
    first = date.fromisoformat(ZONES[zone])
    spec = draw_spec(random, zone, first)
    oracle, working = MinuteByMinute(spec, first), WorkingCalendar(spec)
    for _ in range(CASES):
        start_us, end_us = draw_wait(random, oracle)
        worked = oracle.business_us(start_us, end_us)
        assert working.business_us(start_us, end_us) == worked, (spec, start_us, end_us)
        duration_us = random.choice((worked, random.randrange(1, 40 * 60) * MINUTE_US, 1))
        due_us = oracle.add_business(start_us, duration_us) if duration_us else start_us
        if due_us is not None:
            assert working.add_business(start_us, duration_us) == due_us, (spec, start_us, duration_us)
        last_us = oracle.last_within(start_us, duration_us)
        if last_us is not None:
            assert working.last_within(start_us, duration_us) == last_us, (spec, start_us, duration_us)


@pytest.mark.parametrize("zone", ZONES)
def test_s16_a_wait_split_anywhere_has_the_working_time_of_its_parts(zone: str) -> None:
    random = Random(f"split {zone}")
    working = WorkingCalendar(draw_spec(random, zone, date(2026, 1, 1)))
    for _ in range(CASES // 10):
        first, second, third = sorted(random.randrange(0, 4_000_000_000) * 1_000_000 for _ in range(3))
        whole = working.business_us(first, third)
        assert working.business_us(first, second) + working.business_us(second, third) == whole


@pytest.mark.parametrize("zone", ZONES)
def test_s16_a_deadline_is_the_first_instant_with_its_working_time(zone: str) -> None:
    random = Random(f"first {zone}")
    working = WorkingCalendar(draw_spec(random, zone, date(2026, 1, 1)))
    for _ in range(CASES // 10):
        start_us = random.randrange(0, 4_000_000_000_000_000)
        duration_us = random.randrange(1, 10**10)
        due_us = working.add_business(start_us, duration_us)
        assert working.business_us(start_us, due_us) == duration_us
        assert working.business_us(start_us, due_us - 1) == duration_us - 1


@pytest.mark.parametrize("zone", ZONES)
def test_s09_an_answer_is_in_time_up_to_the_deadline_and_not_after(zone: str) -> None:
    random = Random(f"last {zone}")
    working = WorkingCalendar(draw_spec(random, zone, date(2026, 1, 1)))
    for _ in range(CASES // 10):
        start_us = random.randrange(0, 4_000_000_000) * 1_000_000
        duration_us = random.choice((random.randrange(1, 10**10), random.randrange(1, 200) * MINUTE_US))
        due_us = working.last_within(start_us, duration_us)
        assert due_us >= working.add_business(start_us, duration_us)
        assert working.business_us(start_us, due_us) == duration_us
        assert working.business_us(start_us, due_us + 1) == duration_us + 1


@pytest.mark.parametrize("zone", ZONES)
def test_s09_a_target_used_up_at_closing_time_is_due_at_the_next_opening(zone: str) -> None:
    random = Random(f"closing {zone}")
    first = date(2026, 1, 1)
    spec = draw_spec(random, zone, first)
    oracle, working = MinuteByMinute(spec, first), WorkingCalendar(spec)
    closings = 0
    for _ in range(CASES):
        start_us, end_us = draw_wait(random, oracle)
        worked = oracle.business_us(start_us, end_us)
        if worked and working.add_business(start_us, worked) != working.last_within(start_us, worked):
            closings += 1
            # The oracle does not know the next opening if it is beyond the days that it has counted.
            assert oracle.last_within(start_us, worked) in (None, working.last_within(start_us, worked))
    assert closings > 0
