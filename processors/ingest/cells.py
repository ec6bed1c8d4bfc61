"""One cell of a CSV file as the text that the event contract expects."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import assert_never
from zoneinfo import ZoneInfo

from processors.core.state.money import amount_text, cents
from processors.ingest.mapping import UTC_NAMES, ColumnMapping, names_zones
from schemas.errors import BadRecord

CACHE_SIZE = 10_000
"""Converted texts cached for each column: dates repeat."""

CellReader = Callable[[str], str]


class BadCell(ValueError):
    """A cell that cannot be read; the message says what was expected."""


def reader_of(column: ColumnMapping) -> CellReader:
    """A function that reads this column's cells that are not empty; it raises BadCell."""
    match column.kind:
        case "text":
            return str
        case "date" | "instant":
            return lru_cache(CACHE_SIZE)(_instant_reader(column))
        case "amount":
            return _amount_reader(column)
        case _:
            assert_never(column.kind)


def _instant_reader(column: ColumnMapping) -> CellReader:
    zone = None if column.zone is None else ZoneInfo(column.zone)
    has_zone_name = names_zones(column)
    if has_zone_name:
        zone = ZoneInfo("UTC")

    def read(text: str) -> str:
        if has_zone_name and not _is_of_utc(text):
            raise BadCell(f"names no zone that %Z may read, which are {' and '.join(UTC_NAMES)}")
        try:
            when = datetime.strptime(text, column.format) if column.format else datetime.fromisoformat(text)  # noqa: DTZ007
        except ValueError as error:
            raise BadCell(f"is no {column.kind} written as {column.format or 'ISO 8601'}") from error
        if when.tzinfo is None:
            if zone is None:
                raise BadCell("has no offset, and the mapping names no zone for the column")
            when = when.replace(tzinfo=zone)
        try:
            return when.astimezone(UTC).isoformat()
        except OverflowError as error:
            raise BadCell("is beyond the calendar") from error

    return read


def _is_of_utc(text: str) -> bool:
    """Whether the letters that name a zone in an instant are those of UTC; `strptime` takes the machine's own, too."""
    return any(letters.upper() in UTC_NAMES for letters in re.findall(r"[A-Za-z]+", text))


def _amount_reader(column: ColumnMapping) -> CellReader:
    decimal, group = re.escape(column.decimal), re.escape(column.group)
    whole = f"[0-9]{{1,3}}(?:{group}[0-9]{{3}})+|[0-9]+" if group else "[0-9]+"
    is_amount = re.compile(f"[+-]?(?:(?:{whole})(?:{decimal}[0-9]+)?|{decimal}[0-9]+)").fullmatch
    marks = f"{column.decimal!r} before the decimals"
    if group:
        marks += f" and {column.group!r} between each three digits"

    def read(text: str) -> str:
        # A mark in another position means another notation: ignoring it would turn 12.50 into 1250.
        if not is_amount(text):
            raise BadCell(f"is no amount written with {marks}")
        plain = text.replace(column.group, "").replace(column.decimal, ".")
        try:
            return amount_text(cents(Decimal(plain)))
        except BadRecord as error:
            raise BadCell("is no amount with at most 2 decimals and 10^12 units") from error

    return read
