"""What one cell of a CSV file says, as the text that the event contract wants."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import assert_never
from zoneinfo import ZoneInfo

from processors.core.money import amount_text, cents
from processors.ingest.mapping import Column
from schemas.errors import BadRecord

CACHED = 10_000
"""Texts remembered for each column: dates repeat."""

Reader = Callable[[str], str]


class BadCell(ValueError):
    """A cell that cannot be read; the message says what was expected."""


def reader_of(column: Column) -> Reader:
    """What reads a cell of this column, one that is not empty; it raises BadCell."""
    match column.kind:
        case "text":
            return str
        case "date" | "instant":
            return lru_cache(CACHED)(_instant_reader(column))
        case "amount":
            return lambda text: _amount(text, column)
        case _:
            assert_never(column.kind)


def _instant_reader(column: Column) -> Reader:
    zone = None if column.zone is None else ZoneInfo(column.zone)

    def read(text: str) -> str:
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


def _amount(text: str, column: Column) -> str:
    plain = text.replace(column.group, "") if column.group else text
    if column.decimal != ".":
        plain = plain.replace(column.decimal, ".")
    try:
        return amount_text(cents(Decimal(plain)))
    except InvalidOperation as error:
        raise BadCell(f"is no amount written with {column.decimal!r} before the decimals") from error
    except BadRecord as error:
        raise BadCell("is no amount with at most 2 decimals and 10^12 units") from error
