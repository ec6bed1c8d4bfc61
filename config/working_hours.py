"""Hours, dates and holidays as a policy writes them, as minutes and days. Errors are ValueErrors in plain words."""

import re
import warnings
from datetime import date
from functools import cache

import holidays

from schemas.policy import Hours

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOLIDAY_YEARS = range(1990, 2061)
"""Years whose holidays are known to a calendar, as far as the country's are known at all."""

_INTERVAL = re.compile(r"([01]\d|2[0-4]):([0-5]\d)\s*-\s*([01]\d|2[0-4]):([0-5]\d)")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_COUNTRY = re.compile(r"([A-Z]{2})(?:-(.+))?")
_EPOCH = date(1970, 1, 1).toordinal()
_MIDNIGHT = 1440


def parse_hours(intervals: tuple[str, ...]) -> Hours:
    """`["09:00-12:00", "13:00-17:30"]` as minutes since midnight."""
    hours = tuple(map(_parse_interval, intervals))
    for (_, end), (start, _), text in zip(hours, hours[1:], intervals[1:], strict=False):
        if start < end:
            raise ValueError(f"{text!r} begins before the interval before it ends; allowed: intervals in order, apart")
    return hours


def parse_weekdays(key: str) -> range:
    """`mon`, or `mon-fri`, as numbers from Monday = 0."""
    first, _, last = key.partition("-")
    if first not in WEEKDAYS or (last or first) not in WEEKDAYS:
        raise ValueError(f"{key!r} is no weekday; allowed: {', '.join(WEEKDAYS)}, or a range such as mon-fri")
    days = range(WEEKDAYS.index(first), WEEKDAYS.index(last or first) + 1)
    if not days:
        raise ValueError(f"{key!r} ends before it begins; allowed: a range in the order {', '.join(WEEKDAYS)}")
    return days


def parse_date(key: str) -> int:
    """`2026-12-24` as days since 1970-01-01."""
    try:
        if _DATE.fullmatch(key):
            return date.fromisoformat(key).toordinal() - _EPOCH
    except ValueError as error:
        raise ValueError(f"{key!r} is no date: {error}; allowed: a date such as 2026-12-24") from error
    raise ValueError(f"{key!r} is no date; allowed: a date such as 2026-12-24")


@cache
def holiday_days(country_or_part: str) -> frozenset[int]:
    """The public holidays of a country (`US`) or a part of one (`DE-BE`), as days since 1970-01-01."""
    match = _COUNTRY.fullmatch(country_or_part)
    if match is None:
        raise ValueError(f"{country_or_part!r} is no country; {_countries()}")
    country, part = match.groups()
    try:
        known = holidays.country_holidays(country, subdiv=part)
    except NotImplementedError as error:
        raise ValueError(f"{country_or_part!r} is not known: {_parts_of(country)}") from error
    first, last = max(known.start_year, HOLIDAY_YEARS.start), min(known.end_year, HOLIDAY_YEARS.stop - 1)
    with warnings.catch_warnings():
        # Some holidays of some countries are known for fewer years: those that are known count.
        warnings.simplefilter("ignore", UserWarning)
        dated = holidays.country_holidays(country, subdiv=part, years=range(first, last + 1))
    return frozenset(day.toordinal() - _EPOCH for day in dated)


def _parse_interval(text: str) -> tuple[int, int]:
    match = _INTERVAL.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no interval; allowed: 24-hour times such as 09:00-12:30, to 24:00 at most")
    from_hour, from_minute, to_hour, to_minute = map(int, match.groups())
    start, end = from_hour * 60 + from_minute, to_hour * 60 + to_minute
    if not start < end <= _MIDNIGHT:
        raise ValueError(
            f"{text!r} does not end after it begins and by 24:00; "
            "allowed: a night shift as two intervals, to 24:00 and on the next day from 00:00",
        )
    return start, end


def _parts_of(country: str) -> str:
    parts = holidays.list_supported_countries(include_aliases=False).get(country)
    if parts is None:
        return _countries()
    return f"allowed: {country}" + (f", or with one of {', '.join(parts)}, as in {country}-{parts[0]}" if parts else "")


def _countries() -> str:
    return "allowed: two capital letters of ISO 3166 such as DE, or with a part of the country such as DE-BE"
