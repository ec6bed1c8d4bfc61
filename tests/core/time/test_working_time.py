"""Working time on the calendars that people keep: lunch breaks, holidays, weekends, nights of a set clock (S16)."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from processors.core.time.working_time import NoWorkingTime, WorkingCalendar
from processors.core.time.zones import DAY_US, UnknownZone
from schemas.policy import CalendarSpec, Hours

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR_US = 3_600_000_000
MINUTE_US = 60_000_000

OFFICE: Hours = ((9 * 60, 12 * 60), (13 * 60, 17 * 60 + 30))
ALL_DAY: Hours = ((0, 24 * 60),)
CLOSED: Hours = ()
WORKDAYS = (OFFICE,) * 5 + (CLOSED,) * 2


def us(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def text(instant_us: int) -> str:
    return (EPOCH + timedelta(microseconds=instant_us)).isoformat()


def day(iso: str) -> int:
    return date.fromisoformat(iso).toordinal() - EPOCH.toordinal()


def calendar(
    zone: str = "Europe/Berlin",
    week: tuple[Hours, ...] = WORKDAYS,
    exceptions: dict[str, Hours] | None = None,
) -> WorkingCalendar:
    dated = {day(iso): hours for iso, hours in (exceptions or {}).items()}
    return WorkingCalendar(CalendarSpec(time_zone=zone, week=week, exceptions=dated))


def hours_between(working: WorkingCalendar, start: str, end: str) -> float:
    return working.business_us(us(start), us(end)) / HOUR_US


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        ("2026-06-01T09:00+02:00", "2026-06-01T17:30+02:00", 7.5),
        ("2026-06-01T11:30+02:00", "2026-06-01T13:30+02:00", 1),
        ("2026-06-01T12:00+02:00", "2026-06-01T13:00+02:00", 0),
        ("2026-06-01T00:00+02:00", "2026-06-01T09:00+02:00", 0),
        ("2026-06-01T08:59+02:00", "2026-06-01T09:01+02:00", 1 / 60),
        ("2026-06-05T17:00+02:00", "2026-06-08T09:30+02:00", 1),
        ("2026-06-06T00:00+02:00", "2026-06-08T00:00+02:00", 0),
        ("2026-06-01T00:00+02:00", "2026-06-29T00:00+02:00", 4 * 37.5),
        ("1969-12-29T00:00+01:00", "1970-01-05T00:00+01:00", 37.5),
    ],
)
def test_s16_breaks_nights_and_weekends_do_not_count(start: str, end: str, hours: float) -> None:
    assert hours_between(calendar(), start, end) == pytest.approx(hours, abs=1e-12)


def test_s16_an_interval_is_half_open() -> None:
    working = calendar()
    opens, closes = us("2026-06-01T09:00+02:00"), us("2026-06-01T12:00+02:00")
    assert working.business_us(opens - 1, opens) == 0
    assert working.business_us(opens, opens + 1) == 1
    assert working.business_us(closes - 1, closes) == 1
    assert working.business_us(closes, closes + 1) == 0


SPRING, AUTUMN = "2026-03-29", "2026-10-25"
"""The nights on which Berlin's clock goes from 2:00 to 3:00, and from 3:00 to 2:00."""


@pytest.mark.parametrize(
    ("hours", "iso", "worked"),
    [
        (ALL_DAY, SPRING, 23),
        (ALL_DAY, AUTUMN, 25),
        (((60, 240),), SPRING, 2),
        (((60, 240),), AUTUMN, 4),
        (((120, 180),), SPRING, 0),
        (((120, 180),), AUTUMN, 2),
        (((150, 240),), AUTUMN, 2),
        (((60, 150),), AUTUMN, 2),
    ],
)
def test_s16_a_night_when_the_clock_is_set_has_its_true_length(hours: Hours, iso: str, worked: float) -> None:
    midnight = datetime.fromisoformat(iso).replace(tzinfo=ZoneInfo("Europe/Berlin"))
    start_us, end_us = us(midnight.isoformat()), us((midnight + timedelta(days=1)).isoformat())
    assert calendar(week=(hours,) * 7).business_us(start_us, end_us) == worked * HOUR_US


def test_s16_an_exception_closes_a_day_or_gives_it_hours_of_its_own() -> None:
    working = calendar(exceptions={"2026-12-24": ((540, 720),), "2026-12-25": CLOSED, "2026-12-26": ((600, 660),)})
    assert hours_between(working, "2026-12-24T00:00+01:00", "2026-12-25T00:00+01:00") == 3
    assert hours_between(working, "2026-12-25T00:00+01:00", "2026-12-26T00:00+01:00") == 0
    assert hours_between(working, "2026-12-26T00:00+01:00", "2026-12-27T00:00+01:00") == 1
    assert hours_between(working, "2026-12-21T00:00+01:00", "2026-12-28T00:00+01:00") == 3 * 7.5 + 3 + 1


@pytest.mark.parametrize(
    ("start", "hours", "due"),
    [
        ("2026-06-01T09:00+02:00", 1, "2026-06-01T10:00+02:00"),
        ("2026-06-01T11:30+02:00", 0.5, "2026-06-01T12:00+02:00"),
        ("2026-06-01T11:30+02:00", 1, "2026-06-01T13:30+02:00"),
        ("2026-06-05T17:00+02:00", 1, "2026-06-08T09:30+02:00"),
        ("2026-06-06T03:00+02:00", 7.5, "2026-06-08T17:30+02:00"),
        ("2026-06-01T09:00+02:00", 24, "2026-06-04T10:30+02:00"),
        ("2026-06-01T09:00+02:00", 0, "2026-06-01T09:00+02:00"),
    ],
)
def test_s16_a_deadline_comes_when_so_much_was_worked(start: str, hours: float, due: str) -> None:
    """24 hours in working time are 24 working hours, never one day."""
    assert text(calendar().add_business(us(start), int(hours * HOUR_US))) == text(us(due))


def test_s16_a_deadline_in_an_hour_that_comes_twice_is_in_the_right_one() -> None:
    working = calendar(week=(((120, 180),),) * 7)
    evening = us("2026-10-24T20:00Z")
    assert text(working.add_business(evening, 90 * MINUTE_US)) == text(us("2026-10-25T01:30Z"))
    assert text(working.add_business(evening, 150 * MINUTE_US)) == text(us("2026-10-26T01:30Z"))


def test_s16_two_zones_work_at_different_instants() -> None:
    start, end = "2026-06-01T13:30Z", "2026-06-01T21:30Z"
    assert hours_between(calendar("Europe/Berlin"), start, end) == 2
    assert hours_between(calendar("America/New_York"), start, end) == 6.5 + 0.5


def test_s16_a_deadline_years_ahead_is_exact() -> None:
    working, start = calendar(), us("2026-06-01T09:00+02:00")
    due = working.add_business(start, 30 * 52 * 5 * int(7.5 * HOUR_US))
    assert text(due) == text(us("2056-04-21T17:30+02:00"))
    assert working.business_us(start, due) == 30 * 52 * 5 * int(7.5 * HOUR_US)


def test_s16_a_wait_of_a_thousand_years_is_counted() -> None:
    start, end = us("2026-06-01T09:00Z"), us("3026-06-01T09:00Z")
    assert calendar("UTC").business_us(start, end) == sum(
        int(7.5 * HOUR_US) for number in range(start // DAY_US, end // DAY_US) if (number + 3) % 7 < 5
    )


def test_s16_idle_time_costs_nothing() -> None:
    """Section 8, case 12: the work of a question does not grow with the days between, but for a few spans a year."""
    asked: list[int] = []

    class Counting(WorkingCalendar):
        __slots__ = ()

        def _worked(self, local_us: int) -> int:
            asked.append(local_us)
            return super()._worked(local_us)

    spec = CalendarSpec(time_zone="Europe/Berlin", week=(CLOSED,) * 6 + (((0, 1),),))
    working, start = Counting(spec), us("2026-06-01T09:00+02:00")
    asked.clear()
    working.business_us(start, start + 30 * DAY_US)
    assert len(asked) == 2
    working.business_us(start, start + 366 * DAY_US)
    assert len(asked) <= 12


def test_s16_a_wait_cannot_end_before_it_starts() -> None:
    with pytest.raises(ValueError, match="before the start"):
        calendar().business_us(2, 1)


def test_s16_a_week_without_hours_is_refused() -> None:
    with pytest.raises(NoWorkingTime, match="week"):
        calendar(week=(CLOSED,) * 7, exceptions={"2026-06-01": OFFICE})


@pytest.mark.parametrize(("closed_days", "refused"), [(365, False), (366, True)])
def test_s16_a_calendar_that_closes_for_366_days_is_refused(closed_days: int, refused: bool) -> None:
    first = date(2026, 6, 1)
    exceptions = {(first + timedelta(days=number)).isoformat(): CLOSED for number in range(closed_days)}
    if refused:
        with pytest.raises(NoWorkingTime, match="366 days"):
            calendar(week=(ALL_DAY,) * 7, exceptions=exceptions)
    else:
        assert calendar(week=(ALL_DAY,) * 7, exceptions=exceptions).business_us(0, DAY_US) == DAY_US


def test_s16_the_idle_days_before_a_long_closure_count_too() -> None:
    """364 closed days after six idle ones are a pause of 370 days."""
    first = date(2026, 6, 8)
    exceptions = {(first + timedelta(days=number)).isoformat(): CLOSED for number in range(364)}
    with pytest.raises(NoWorkingTime):
        calendar(week=(OFFICE, *(CLOSED,) * 6), exceptions=exceptions)


def test_s16_a_calendar_needs_a_zone_that_exists() -> None:
    with pytest.raises(UnknownZone, match="Berln"):
        calendar("Europe/Berln")
