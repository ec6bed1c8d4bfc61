"""A declarative mapping from the rows of a CSV file to events: what a TOML file may say, checked when it is loaded.

`config/mappings/README.md` explains it to those who write one.
"""

import codecs
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import UnionType
from typing import Annotated, Literal, get_args
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from config.toml_lines import TomlLines
from config.toml_text import parse_toml
from processors.ingest.templates import Template, TemplateError
from schemas.errors import ConfigError
from schemas.events import Message

Filled = str | int | float | bool
Character = Annotated[str, Meta(min_length=1, max_length=1)]
Conditions = dict[str, tuple[str, ...]]
"""Column to the values it may have; all conditions must hold. An empty cell is the value ''."""

GIVEN = frozenset({"event_id", "source"})
"""Fields that the importer fills in itself."""

NO_MARKS = frozenset("0123456789+-")
"""What can be neither before the decimals nor between thousands."""

UTC_NAMES = ("UTC", "GMT")
"""What `%Z` may read: EST, CST or IST are the names of several zones, and `strptime` drops the offset of all."""

Problem = tuple[str, str]
"""Where in the mapping, and what is wrong there."""


class Missing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to take for an empty cell."""

    fallback: str
    """A template, read like a cell of the column."""
    when: Conditions = {}
    """Rows for which it holds; in others the cell stays empty."""
    note: str | None = None
    """Why; said in the import's report."""


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to read a column."""

    kind: Literal["text", "date", "instant", "amount"] = "text"
    format: str | None = None
    """Of dates and instants, as in `datetime.strptime`; absent: ISO 8601."""
    zone: str | None = None
    """Where clocks showed a time that has no offset of its own: an IANA name."""
    decimal: Character = "."
    group: Annotated[str, Meta(max_length=1)] = ""
    """Between thousands; empty: none."""
    empty: tuple[str, ...] = ()
    """Further texts that mean an empty cell, such as 'N/A'."""
    values: dict[str, str] = {}
    """Texts to be replaced, whole cells only."""
    only_values: bool = False
    """Texts that are neither a key nor a value of `values` are wrong."""
    missing: Missing | None = None


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the file is written."""

    encoding: str = "utf-8"
    """A byte order mark is skipped."""
    delimiter: Character = ","
    quote: Character = '"'


class EventRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One event of each row for which the conditions hold."""

    type: str
    name: Annotated[str, Meta(min_length=1)]
    """The last part of the event's id: unique among the rules, and best never changed."""
    fields: dict[str, Filled]
    """The event's fields: templates for texts, or constants."""
    when: Conditions = {}
    optional: bool = False
    """A row in which a cell that it needs is empty loses this event alone, and gives its others."""


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of it."""

    source: Annotated[str, Meta(min_length=1, max_length=64)]
    """The name of the system: the first part of every event's id, and its `source`."""
    identity: Annotated[tuple[str, ...], Meta(min_length=1)]
    """The columns that tell rows apart: the middle part of every event's id."""
    events: Annotated[tuple[EventRule, ...], Meta(min_length=1)]
    description: str = ""
    file: File = File()
    columns: dict[str, Column] = {}

    def column(self, name: str) -> Column:
        """How to read a column; one that the mapping does not describe is text."""
        return self.columns.get(name, _TEXT)

    def needed_columns(self) -> set[str]:
        """The columns that a file must have."""
        needed = {*self.identity, *self.columns}
        for rule in self.events:
            needed.update(rule.when)
            needed.update(column for _, template in templates_of(rule) for column in template.columns)
        for column in self.columns.values():
            if column.missing:
                needed.update(column.missing.when, Template(column.missing.fallback).columns)
        return needed


_TEXT = Column()


def load_mapping(path: Path) -> Mapping:
    """Read and check a mapping; raises ConfigError naming file, key and what is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
        mapping = msgspec.convert(parse_toml(text), Mapping)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); a TOML file with a mapping is expected") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}; config/mappings/README.md says what is allowed") from error
    except ValueError as error:
        raise ConfigError(f"{path}: is no TOML: {error}") from error
    for name, column in mapping.columns.items():
        if names_zones(column) and column.zone not in (None, *UTC_NAMES):
            line = TomlLines(text).line(("columns", name, "format"))
            raise ConfigError(f"{path}:{line}: columns.{name}.format = {column.format!r}: {_zone_mend(column)}")
    for where, what in _problems(mapping):
        raise ConfigError(f"{path}: {where}: {what}")
    return mapping


def names_zones(column: Column) -> bool:
    """Whether cells of a column name their zone by letters, as `%Z` reads them."""
    letters = (column.format or "").replace("%%", "")
    return column.kind in ("date", "instant") and "%Z" in letters and "%z" not in letters


def _zone_mend(column: Column) -> str:
    return (
        f"%Z is a zone's name in the cell, of which only {' and '.join(UTC_NAMES)} mean one offset, but zone = "
        f"{column.zone!r}: write zone = 'UTC' if all cells say so, %z if they have offsets such as +01:00, or take the "
        "name out of the file and %Z out of the format"
    )


def event_types() -> dict[str, type[msgspec.Struct]]:
    """Every type of the event contract, and the entry of a rep in the directory, by its `type`."""
    return {str(kind.__struct_config__.tag): kind for kind in _members(Message)}


def templates_of(rule: EventRule) -> Iterator[tuple[str, Template]]:
    """The fields of a rule that are texts."""
    for field, value in rule.fields.items():
        if isinstance(value, str):
            yield field, Template(value)


def _members(union: UnionType) -> Iterator[type[msgspec.Struct]]:
    yield from get_args(union)


def _problems(mapping: Mapping) -> Iterator[Problem]:
    try:
        codecs.lookup(mapping.file.encoding)
    except LookupError:
        yield "file.encoding", f"{mapping.file.encoding!r} is no encoding that Python knows, such as utf-8 or cp1252"
    for name, column in mapping.columns.items():
        for what in _column_problems(mapping, column):
            yield f"columns.{name}", what
    names = [rule.name for rule in mapping.events]
    for rule in mapping.events:
        where = f"events {rule.name!r}"
        if names.count(rule.name) > 1:
            yield where, "several rules have this name, so that their events would have the same id"
        for what in _rule_problems(mapping, rule):
            yield where, what


def _column_problems(mapping: Mapping, column: Column) -> Iterator[str]:
    if column.zone is not None and not _is_zone(column.zone):
        yield f"zone = {column.zone!r}: an IANA name such as 'Europe/Berlin' is expected"
    if column.kind == "date" and column.zone is None:
        yield "a date needs a zone: whose midnight is meant?"
    if {column.decimal, column.group} & NO_MARKS or column.decimal == column.group:
        yield (
            f"decimal = {column.decimal!r} and group = {column.group!r}: "
            "two different marks are expected, neither of them a digit or a sign"
        )
    if column.missing:
        yield from _template_problems(column.missing.fallback)
        for other in Template(column.missing.fallback).columns:
            if mapping.column(other).missing:
                yield f"the fallback uses {other!r}, which has a fallback itself"


def _rule_problems(mapping: Mapping, rule: EventRule) -> Iterator[str]:
    kind = event_types().get(rule.type)
    if kind is None:
        yield f"type = {rule.type!r}: allowed are {', '.join(sorted(event_types()))}"
        return
    for value in rule.fields.values():
        if isinstance(value, str):
            yield from _template_problems(value)
    known = {field.name: field for field in msgspec.structs.fields(kind)}
    for name in rule.fields.keys() - (known.keys() - GIVEN):
        yield f"{rule.type} has no field {name!r} to fill; it has {', '.join(sorted(known.keys() - GIVEN))}"
    for name, field in known.items():
        if field.required and name not in rule.fields and name not in GIVEN:
            yield f"{rule.type} needs the field {name!r}"
    yield from _instant_problems(mapping, rule)


def _instant_problems(mapping: Mapping, rule: EventRule) -> Iterator[str]:
    """An instant comes from a column that is read as one: a bare number must not pass for seconds since 1970."""
    value = rule.fields.get("occurred_at")
    if value is None:
        return
    sole = Template(value).sole if isinstance(value, str) else None
    if sole is not None and mapping.column(sole).kind in ("date", "instant"):
        return
    if not _is_instant(value):
        yield f"occurred_at = {value!r}: one column of kind date or instant, or an instant with an offset, is expected"


def _template_problems(text: str) -> Iterator[str]:
    try:
        Template(text)
    except TemplateError as error:
        yield str(error)


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        return False
    return True


def _is_instant(value: Filled) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False
