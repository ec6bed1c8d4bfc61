"""A declarative mapping from the rows of a CSV file to events: the TOML file's structure, checked when it is loaded.

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

from config.toml_document import TomlDocument, unknown_name
from config.toml_lines import KeyPath
from processors.ingest.templates import Template, TemplateError
from schemas.events import Message

AnyText = Annotated[str, Meta(description="a text, also an empty one")]
Name = Annotated[str, Meta(min_length=1, description="a text that is not empty")]
Texts = Annotated[tuple[str, ...], Meta(description="a list of texts")]
Columns = Annotated[tuple[str, ...], Meta(min_length=1, description="a list of one or more columns")]
Source = Annotated[str, Meta(min_length=1, max_length=64, description="a text of 1 to 64 characters")]
Flag = Annotated[bool, Meta(description="true or false")]
FieldValue = Annotated[str | int | float | bool, Meta(description="a template, or a text, a number, true or false")]
Character = Annotated[str, Meta(min_length=1, max_length=1, description="one character")]
CharacterOrNone = Annotated[str, Meta(max_length=1, description="one character, or '' for none")]
Conditions = dict[str, Texts]
"""Column to the values it may have; all conditions must hold. An empty cell is the value ''."""

GIVEN = frozenset({"event_id", "source"})
"""Fields that the importer fills in itself."""

NO_MARKS = frozenset("0123456789+-")
"""What can be neither before the decimals nor between thousands."""

UTC_NAMES = ("UTC", "GMT")
"""What `%Z` may read: EST, CST or IST are the names of several zones, and `strptime` drops the offset of all."""

Problem = tuple[KeyPath, str]
"""The key in the mapping, and what is wrong with it and allowed there."""


class Fallback(msgspec.Struct, frozen=True):
    """What to take for an empty cell."""

    fallback: AnyText
    """A template, read like a cell of the column."""
    when: Conditions = {}
    """Rows for which it holds; in others the cell stays empty."""
    note: AnyText | None = None
    """Why; shown in the import's report."""


class ColumnMapping(msgspec.Struct, frozen=True):
    """How to read a column."""

    kind: Literal["text", "date", "instant", "amount"] = "text"
    format: Name | None = None
    """Of dates and instants, as in `datetime.strptime`; absent: ISO 8601."""
    zone: AnyText | None = None
    """Where clocks showed a time that has no offset of its own: an IANA name."""
    decimal: Character = "."
    group: CharacterOrNone = ""
    """Between thousands; empty: none."""
    empty: Texts = ()
    """Further texts that mean an empty cell, such as 'N/A'."""
    values: dict[str, AnyText] = {}
    """Texts to be replaced, whole cells only."""
    only_values: Flag = False
    """Texts that are neither a key nor a value of `values` are wrong."""
    missing: Fallback | None = None


class FileFormat(msgspec.Struct, frozen=True):
    """How the file is written."""

    encoding: Name = "utf-8"
    """A byte order mark is skipped."""
    delimiter: Character = ","
    quote: Character = '"'


class EventRule(msgspec.Struct, frozen=True):
    """One event of each row for which the conditions hold."""

    type: Name
    name: Name
    """The last part of the event's id: unique among the rules, and best never changed."""
    fields: dict[str, FieldValue]
    """The event's fields: templates for texts, or constants."""
    when: Conditions = {}
    optional: Flag = False
    """A row in which a cell that it needs is empty loses this event alone, and gives its others."""


class CsvMapping(msgspec.Struct, frozen=True):
    """All of it."""

    source: Source
    """The name of the system: the first part of every event's id, and its `source`."""
    identity: Columns
    """The columns that identify a row: the middle part of every event's id."""
    events: tuple[EventRule, ...]
    description: AnyText = ""
    file: FileFormat = FileFormat()
    columns: dict[str, ColumnMapping] = {}

    def column(self, name: str) -> ColumnMapping:
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


_TEXT = ColumnMapping()


def load_mapping(path: Path) -> CsvMapping:
    """Read and check a mapping; raises ConfigError, which names file, line, key, value and what is allowed."""
    document = TomlDocument.load(path)
    mapping = document.read(CsvMapping)
    for key, problem in _problems(mapping):
        raise document.error(key, problem)
    return mapping


def names_zones(column: ColumnMapping) -> bool:
    """Whether cells of a column name their zone by letters, as `%Z` reads them."""
    letters = (column.format or "").replace("%%", "")
    return column.kind in ("date", "instant") and "%Z" in letters and "%z" not in letters


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


def _problems(mapping: CsvMapping) -> Iterator[Problem]:
    try:
        codecs.lookup(mapping.file.encoding)
    except LookupError:
        yield ("file", "encoding"), "is no encoding that Python knows; allowed: one such as utf-8 or cp1252"
    for name, column in mapping.columns.items():
        for key, problem in _column_problems(mapping, column):
            yield ("columns", name, *key), problem
    if not mapping.events:
        yield ("events",), "gives no event; allowed: one or more [[events]]"
    names = [rule.name for rule in mapping.events]
    for number, rule in enumerate(mapping.events):
        if names.count(rule.name) > 1:
            problem = (
                "several rules have this name, so that their events would have the same id; allowed: each name once"
            )
            yield ("events", number, "name"), problem
        for key, problem in _rule_problems(mapping, rule):
            yield ("events", number, *key), problem


def _column_problems(mapping: CsvMapping, column: ColumnMapping) -> Iterator[Problem]:
    if names_zones(column) and column.zone not in (None, *UTC_NAMES):
        yield ("format",), _zone_problem(column)
    if column.zone is not None and not _is_zone(column.zone):
        yield ("zone",), "is no time zone; allowed: an IANA name such as 'Europe/Berlin'"
    if column.kind == "date" and column.zone is None:
        yield ("zone",), "is missing: whose midnight is meant? allowed: an IANA name such as 'Europe/Berlin'"
    for key, mark in (("decimal", column.decimal), ("group", column.group)):
        if mark in NO_MARKS:
            yield (key,), "is a digit or a sign; allowed: another mark"
    if column.decimal == column.group:
        yield ("group",), "stands before the decimals as well; allowed: two different marks"
    if column.missing:
        yield from _fallback_problems(mapping, column.missing.fallback)


def _fallback_problems(mapping: CsvMapping, fallback: str) -> Iterator[Problem]:
    key = ("missing", "fallback")
    problem = _template_problem(fallback)
    if problem is not None:
        yield key, problem
        return
    for other in Template(fallback).columns:
        if mapping.column(other).missing:
            yield key, f"uses {other!r}, which has a fallback itself; allowed: columns without one"


def _zone_problem(column: ColumnMapping) -> str:
    names = " and ".join(UTC_NAMES)
    return (
        f"%Z is a zone's name in the cell, of which only {names} mean one offset, but zone = {column.zone!r}; allowed: "
        "zone = 'UTC' if all cells say so, %z if they have offsets such as +01:00, or neither the name in the file nor "
        "%Z in the format"
    )


def _rule_problems(mapping: CsvMapping, rule: EventRule) -> Iterator[Problem]:
    kind = event_types().get(rule.type)
    if kind is None:
        yield ("type",), unknown_name(rule.type, sorted(event_types()))
        return
    for name, value in rule.fields.items():
        problem = _template_problem(value) if isinstance(value, str) else None
        if problem is not None:
            yield ("fields", name), problem
    known = {field.name: field for field in msgspec.structs.fields(kind)}
    for name in rule.fields:
        if name not in known.keys() - GIVEN:
            allowed = ", ".join(sorted(known.keys() - GIVEN))
            yield ("fields", name), f"{rule.type} has no field {name!r} to fill; allowed: {allowed}"
    for name, field in known.items():
        if field.required and name not in rule.fields and name not in GIVEN:
            yield ("fields", name), f"is missing, and {rule.type} needs it; allowed: a template or a constant"
    instant = rule.fields.get("occurred_at")
    if instant is not None and not _gives_an_instant(mapping, instant):
        problem = "gives no instant; allowed: one column of kind date or instant, or an instant with an offset"
        yield ("fields", "occurred_at"), problem


def _gives_an_instant(mapping: CsvMapping, value: FieldValue) -> bool:
    """An instant comes from a column that is read as one: a bare number must not pass for seconds since 1970."""
    if not isinstance(value, str) or _template_problem(value) is not None:
        return False
    sole = Template(value).sole
    return (sole is not None and mapping.column(sole).kind in ("date", "instant")) or _is_instant(value)


def _template_problem(text: str) -> str | None:
    try:
        Template(text)
    except TemplateError as error:
        return f"{error}; allowed: texts with {{column}}"
    return None


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        return False
    return True


def _is_instant(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
