"""The last day on which reps of several zones met a customer: in every window as long as any of them has it (S11)."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.core.time.last_days import last_day, today_in
from processors.core.time.windows import WINDOWS
from processors.core.time.zones import UnknownZone, zone_days

DAY = (datetime(2026, 9, 20, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days
HOUR_US = 3_600_000_000
QUARTER_US = HOUR_US // 4
LENGTHS = tuple(length for length in WINDOWS.values() if length is not None)
ZONES = (
    *("Etc/GMT+12", "Pacific/Pago_Pago", "America/Los_Angeles", "America/Phoenix", "America/St_Johns", "UTC"),
    *("Europe/London", "Africa/Casablanca", "Europe/Berlin", "Asia/Tokyo", "Australia/Lord_Howe"),
    *("Australia/Sydney", "Pacific/Chatham", "Pacific/Auckland", "Pacific/Apia", "Pacific/Kiritimati"),
)


def is_in(window_days: int, days: Mapping[str, int], at_us: int) -> bool:
    """Whether any zone's last day is in its own window: the rule."""
    return any(day > zone_days(zone).day(at_us) - window_days for zone, day in days.items())


@given(
    st.dictionaries(st.sampled_from(ZONES), st.integers(0, 2), min_size=1, max_size=5),
    st.integers(-6000, 400),
    st.sampled_from(LENGTHS),
    st.integers(-160, 160),
)
def test_s11_a_customer_is_in_a_window_as_long_as_any_zones_last_day_is(
    behind: dict[str, int], start: int, length: int, quarters: int
) -> None:
    days = {zone: DAY + start - less for zone, less in behind.items()}
    zones, day = last_day(days)
    assert (zones, day) == last_day(dict(reversed(days.items())))
    at_us = (DAY + start + length) * 24 * HOUR_US + quarters * QUARTER_US
    assert (day > today_in(zones, at_us) - length) == is_in(length, days, at_us)


def test_s11_the_zone_whose_day_ends_last_counts_for_all() -> None:
    assert last_day({"Asia/Tokyo": DAY, "America/Los_Angeles": DAY}) == ("America/Los_Angeles", DAY)
    assert last_day({"Asia/Tokyo": DAY + 1, "America/Los_Angeles": DAY}) == ("Asia/Tokyo", DAY + 1)


def test_s11_zones_with_the_same_clocks_are_not_kept_apart() -> None:
    assert last_day({"Europe/Paris": DAY, "Europe/Berlin": DAY}) == ("Europe/Berlin", DAY)


def test_s11_where_the_seasons_decide_both_zones_count_together() -> None:
    together = last_day({"Pacific/Chatham": DAY, "Pacific/Pago_Pago": DAY - 1})
    assert together == ("Pacific/Chatham,Pacific/Pago_Pago:1", DAY)
    both_have_ended_us = (DAY + 1) * 24 * HOUR_US - 12 * HOUR_US
    assert today_in(together[0], both_have_ended_us - 4 * HOUR_US) == DAY
    assert today_in(together[0], both_have_ended_us) == DAY + 1


@pytest.mark.parametrize("zones", ["", "No/Such_Zone", "UTC,No/Such_Zone:1"])
def test_a_zone_that_is_not_known_has_no_today(zones: str) -> None:
    with pytest.raises(UnknownZone):
        today_in(zones, 0)


@pytest.mark.parametrize(
    ("zone", "date", "apart_minutes"),
    [
        ("Europe/Berlin", "2026-03-29", 0),
        ("America/St_Johns", "2010-11-07", 60),
        ("America/Havana", "2026-11-01", 0),
        ("Pacific/Apia", "2011-12-30", 0),
        ("Asia/Beirut", "2026-03-29", 0),
    ],
)
def test_a_date_begins_at_its_first_instant_and_for_good_at_the_last_that_is_not_before_it(
    zone: str, date: str, apart_minutes: int
) -> None:
    day = (datetime.fromisoformat(date).replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days
    minutes = [day * 24 * HOUR_US + minute * 60_000_000 for minute in range(-20 * 60, 20 * 60)]
    dates = [zone_days(zone).day(at_us) for at_us in minutes]
    first = next(at_us for at_us, found in zip(minutes, dates, strict=True) if found >= day)
    final = max(at_us for at_us, found in zip(minutes, dates, strict=True) if found < day) + 60_000_000
    assert zone_days(zone).begin(day) == (first, final)
    assert timedelta(microseconds=final - first) == timedelta(minutes=apart_minutes)
