"""Local days of a zone are those of the wall clock, at every instant."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.core.time.zones import DAY_US, SECOND_US, UnknownZone, ZoneDays, zone_days

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Pacific/Apia",
)
FIRST_US = (datetime(1880, 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND
LAST_US = (datetime(2400, 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND

instants = st.integers(FIRST_US, LAST_US)


def us(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // MICROSECOND


def day_on_the_wall(instant_us: int, zone: str) -> int:
    local = (EPOCH + timedelta(microseconds=instant_us)).astimezone(ZoneInfo(zone))
    return local.date().toordinal() - EPOCH.toordinal()


@given(st.sampled_from(ZONES), instants)
def test_a_day_is_the_date_on_the_wall(zone: str, instant_us: int) -> None:
    assert zone_days(zone).day(instant_us) == day_on_the_wall(instant_us, zone)


@given(st.sampled_from(ZONES), st.lists(instants, min_size=2, max_size=5))
def test_the_order_of_questions_does_not_matter(zone: str, asked: list[int]) -> None:
    days = ZoneDays(zone)
    assert [days.day(at) for at in asked] == [day_on_the_wall(at, zone) for at in asked]


@given(st.sampled_from(ZONES), instants)
def test_the_offset_holds_from_end_to_end_of_a_span(zone: str, instant_us: int) -> None:
    lo_us, hi_us, offset_us = zone_days(zone).span(instant_us)
    assert lo_us <= instant_us < hi_us
    for at in (lo_us, instant_us, hi_us - 1):
        local = (EPOCH + timedelta(microseconds=at)).astimezone(ZoneInfo(zone))
        assert local.utcoffset() == timedelta(microseconds=offset_us)


def test_a_span_gives_days_to_hot_code() -> None:
    at = us("2026-07-01T22:30:00Z")
    lo_us, hi_us, offset_us = ZoneDays("Europe/Berlin").span(at)
    assert lo_us <= at < hi_us
    assert (at + offset_us) // DAY_US == day_on_the_wall(at, "Europe/Berlin")


@pytest.mark.parametrize("change", ["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z"])
def test_a_span_ends_in_the_very_microsecond_of_a_change(change: str) -> None:
    days = ZoneDays("Europe/Berlin")
    at = us(change)
    assert days.span(at - 1)[1] == at == days.span(at)[0]
    assert abs(days.span(at)[2] - days.span(at - 1)[2]) == 3600 * SECOND_US


def test_a_skipped_date_never_is_a_day() -> None:
    """Samoa went from 29 to 31 December 2011."""
    days = ZoneDays("Pacific/Apia")
    seen = {days.day(us("2011-12-28T00:00:00Z") + hour * 3600 * SECOND_US) for hour in range(96)}
    assert day_on_the_wall(us("2011-12-30T00:00:00Z"), "UTC") not in seen
    assert len(seen) == 5


@pytest.mark.parametrize("year", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_the_ends_of_time_have_a_day(year: str) -> None:
    for zone in ZONES:
        assert abs(zone_days(zone).day(us(year)) - us(year) // DAY_US) <= 1


def test_probing_every_third_day_loses_no_change() -> None:
    """Freetown knew six days of its own in 1939; every zone is probed daily over the years around now."""
    first, last = us("2018-01-01T00:00:00Z"), us("2028-01-01T00:00:00Z")
    cases = [("Africa/Freetown", us("1939-01-01T00:00:00Z"), us("1942-01-01T00:00:00Z"))]
    cases += [(zone, first, last) for zone in sorted(available_timezones())[::11]]
    for zone, begin, end in cases:
        days, tz = ZoneDays(zone), ZoneInfo(zone)
        for at in range(begin, end, DAY_US):
            local = (EPOCH + timedelta(microseconds=at)).astimezone(tz)
            assert days.span(at)[2] * MICROSECOND == local.utcoffset(), (zone, local)


@pytest.mark.parametrize("name", ["Europe/Berln", "", "../etc/passwd", "America", "Europe/Berlin\0", "x" * 128, "Ü"])
def test_an_unknown_zone_is_named(name: str) -> None:
    with pytest.raises(UnknownZone, match="IANA"):
        zone_days(name)


def test_a_zone_is_learnt_once() -> None:
    assert zone_days("Asia/Kolkata") is zone_days("Asia/Kolkata")
