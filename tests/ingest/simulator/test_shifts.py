"""Working time: lunch, weekends, days off and DST nights."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.core.time.instants import DAY_US, HOUR_US, instant_us, moment
from processors.ingest.simulator.shifts import Shift, WorkingHours

HOURS = WorkingHours(9.0, 12.0, 17.75)
SALT = 30
"""Takes none of the days below off."""
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(scope="module")
def shift() -> Shift:
    return Shift("Europe/Berlin", HOURS, SALT)


def berlin(month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    return instant_us(datetime(2025, month, day, hour, minute, tzinfo=BERLIN))


def test_work_is_done_at_once_within_a_morning(shift: Shift) -> None:
    assert shift.later(berlin(6, 4, 9, 30), HOUR_US) == berlin(6, 4, 10, 30)


def test_lunch_is_no_working_time(shift: Shift) -> None:
    assert shift.later(berlin(6, 4, 11, 30), HOUR_US) == berlin(6, 4, 13, 15)


def test_friday_evening_goes_on_on_monday_morning(shift: Shift) -> None:
    assert shift.later(berlin(6, 6, 17, 15), HOUR_US) == berlin(6, 9, 9, 30)


def test_nothing_to_do_ends_when_work_begins(shift: Shift) -> None:
    assert shift.later(berlin(6, 7, 3), 0) == berlin(6, 9, 9)
    assert shift.later(berlin(6, 4, 10), 0) == berlin(6, 4, 10)


def test_work_begins_at_nine_by_the_wall_clock_on_both_sides_of_a_dst_night(shift: Shift) -> None:
    for month, friday, monday in ((3, 28, 31), (10, 24, 27)):
        assert shift.later(berlin(month, friday, 17, 45), 0) == berlin(month, monday, 9)
    assert berlin(3, 31, 9) - berlin(3, 28, 9) == 71 * HOUR_US


def test_weekends_holidays_and_days_off_have_no_spans(shift: Shift) -> None:
    year = [shift.spans(shift.day(berlin(1, 1)) + day) for day in range(365)]
    assert shift.spans(shift.day(berlin(12, 25))) == ()
    assert shift.spans(shift.day(berlin(6, 7))) == ()
    assert 235 < sum(bool(spans) for spans in year) < 252


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 364))
def test_a_share_of_a_working_day_lies_within_its_spans(share: float, number: int) -> None:
    shift = Shift("Europe/Berlin", HOURS, SALT)
    day = shift.day(berlin(1, 1)) + number
    spans = shift.spans(day)
    if spans:
        at_us = shift.at_work(day, share)
        assert any(begin_us <= at_us < end_us for begin_us, end_us in spans)


@given(
    st.sampled_from(["Europe/London", "America/New_York", "Asia/Kolkata", "Australia/Sydney"]),
    st.integers(0, 200 * 24 * 60),
    st.integers(0, 40 * 60),
)
def test_later_agrees_with_counting_minutes(zone: str, start_minute: int, work_minutes: int) -> None:
    shift = Shift(zone, HOURS, SALT)
    start = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=start_minute)
    end_us = shift.later(instant_us(start), work_minutes * 60_000_000)
    worked = sum(at_work(shift, zone, minute) for minute in minutes(start, moment(end_us)))
    assert worked == work_minutes
    assert at_work(shift, zone, moment(end_us))


def minutes(start: datetime, end: datetime) -> list[datetime]:
    return [start + timedelta(minutes=minute) for minute in range((end - start) // timedelta(minutes=1))]


def at_work(shift: Shift, zone: str, at: datetime) -> bool:
    local = at.astimezone(ZoneInfo(zone))
    clock = local.hour * 60 + local.minute
    open_now = 9 * 60 <= clock < 12 * 60 or 12 * 60 + 45 <= clock < 17 * 60 + 45
    day = (local.date() - datetime(1970, 1, 1, tzinfo=UTC).date()).days
    return open_now and bool(shift.spans(day))


def test_midnight_is_the_local_one(shift: Shift) -> None:
    day = shift.day(berlin(6, 4, 23, 59))
    assert shift.midnight_us(day) == berlin(6, 4)
    assert shift.midnight_us(day + 1) - shift.midnight_us(day) == DAY_US
