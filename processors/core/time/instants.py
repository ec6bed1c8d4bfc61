"""Instants as integer microseconds since 1970-01-01T00:00Z: sums are exact and do not depend on order."""

from datetime import UTC, datetime, timedelta
from typing import Final

from mypy_extensions import i64

SECOND_US: Final = 1_000_000
HOUR_US: Final = 3600 * SECOND_US
DAY_MS: Final = 86_400_000
DAY_US: Final = 24 * HOUR_US

LONG_AGO_US: Final = -(2**61)
FOREVER_US: Final = 2**61
"""Before and after all instants (some 73,000 years from 1970), and still small enough for compiled arithmetic."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def instant_us(moment: datetime) -> int:
    """An aware datetime as microseconds since 1970."""
    since = moment - EPOCH
    days: i64 = since.days
    seconds: i64 = since.seconds
    microseconds: i64 = since.microseconds
    return days * DAY_US + seconds * SECOND_US + microseconds


_FIRST_US: Final = instant_us(datetime.min.replace(tzinfo=UTC))
_LAST_US: Final = instant_us(datetime.max.replace(tzinfo=UTC))


def moment(at_us: int) -> datetime:
    """Microseconds since 1970 as a UTC datetime; beyond the years 1 to 9999, the nearest that there is."""
    return EPOCH + timedelta(microseconds=min(max(at_us, _FIRST_US), _LAST_US))


def rfc3339(at_us: int) -> str:
    """Microseconds since 1970 as RFC 3339 in UTC, with as few digits as the instant needs."""
    text = moment(at_us).isoformat().removesuffix("+00:00")
    return (text.rstrip("0") if "." in text else text) + "Z"
