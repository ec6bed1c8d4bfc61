"""CSV files to events, by a mapping: every row gives all of its events or none, and everything is accounted for."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from operator import itemgetter
from pathlib import Path

import msgspec

from processors.core.state.money import cents
from processors.ingest.cells import BadCell, reader_of
from processors.ingest.csv_rows import read_rows
from processors.ingest.mapping import Conditions, CsvMapping, EventRule, event_types
from processors.ingest.templates import Template
from schemas.codec import message_of
from schemas.errors import BadRecord, UsageError
from schemas.events import Message

MAX_SHOWN_PROBLEMS = 20
"""Rows that the report shows with line, column and value; all are counted."""
MAX_ID_LENGTH = 128
ZERO = Decimal(0)
EARLIEST = datetime.min.replace(tzinfo=UTC)


class RowProblem(Exception):
    """Why a row gives no events."""

    def __init__(self, column: str, value: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column
        self.value = value
        self.reason = reason


class EmptyCell(RowProblem):
    """A cell is empty that an event needs."""

    def __init__(self, column: str) -> None:
        super().__init__(column, "", f"{column} is empty")


class SkippedRow(msgspec.Struct, frozen=True):
    """A row that gave no events."""

    line: int
    column: str
    value: str
    reason: str


class ImportReport(msgspec.Struct):
    """What became of the rows."""

    rows: int = 0
    events: dict[str, int] = {}
    """By type."""
    skipped: dict[str, int] = {}
    """Rows without events, by reason."""
    lacking: int = 0
    """How many of them lack a cell that an event needs."""
    left_out: dict[str, int] = {}
    """Optional events that rows with other events did not have, by event and the cell that was empty."""
    fallbacks: dict[str, int] = {}
    """Cells that were empty and filled in, by column and note, in rows that gave events."""
    problems: list[SkippedRow] = []
    """The first rows without events."""

    @property
    def is_mostly_skipped(self) -> bool:
        """Whether more rows gave no events than gave any: the mapping is for another file."""
        return 2 * sum(self.skipped.values()) > self.rows


class CsvRow:
    """One row, read cell by cell as its events ask for them."""

    def __init__(self, cells: dict[str, str], readers: "CellReaders") -> None:
        self._cells = cells
        self._readers = readers
        self._read: dict[str, str] = {}
        self.fallbacks: set[str] = set()
        """The columns that were empty and filled in."""

    def text(self, column: str) -> str:
        """The cell as it is written, with `values` applied; raises RowProblem."""
        settings = self._readers.mapping.column(column)
        text = self._cells[column]
        if text in settings.empty:
            return ""
        replaced = settings.values.get(text, text)
        if text and settings.only_values and replaced not in settings.values.values():
            raise RowProblem(column, text, f"{column} is none of the known values")
        return replaced

    def cell(self, column: str) -> str:
        """The cell as the contract wants it, perhaps filled in; empty if it stays empty; raises RowProblem."""
        known = self._read.get(column)
        if known is None:
            known = self._read[column] = self._readers.read(column, self.text(column) or self._fallback(column))
        return known

    def needed(self, column: str) -> str:
        """The cell, which must not be empty; raises RowProblem."""
        value = self.cell(column)
        if not value:
            raise EmptyCell(column)
        return value

    def meets(self, conditions: Conditions) -> bool:
        """Whether every condition holds; raises RowProblem."""
        return all(self.text(column) in allowed for column, allowed in conditions.items())

    def _fallback(self, column: str) -> str:
        missing = self._readers.mapping.column(column).missing
        if missing is None or not self.meets(missing.when):
            return ""
        self.fallbacks.add(column)
        return Template(missing.fallback).fill(self.text, self._written) or ""

    def _written(self, column: str) -> str:
        """The cell as the file has it, perhaps filled in; raises RowProblem if it stays empty."""
        written = self.text(column) or self._fallback(column)
        if not written:
            raise EmptyCell(column)
        return written


class CellReaders:
    """What reads each column of a mapping."""

    def __init__(self, mapping: CsvMapping) -> None:
        self.mapping = mapping
        self._readers = {name: reader_of(mapping.column(name)) for name in mapping.needed_columns()}

    def read(self, column: str, text: str) -> str:
        """A cell's text as the contract wants it; raises RowProblem."""
        try:
            return self._readers[column](text) if text else ""
        except BadCell as error:
            raise RowProblem(column, text, f"{column} {error}") from error


class CsvImport:
    """The events of CSV files, and a report that grows as they are read."""

    def __init__(self, mapping: CsvMapping, *, strict: bool = False) -> None:
        """`strict`: the first row that gives no events is an error."""
        self.report = ImportReport()
        self._mapping = mapping
        self._strict = strict
        self._readers = CellReaders(mapping)
        self._writers = [RuleWriter(rule, mapping) for rule in mapping.events]
        self._lines: dict[str, str] = {}

    def messages(self, path: Path) -> Iterator[Message]:
        """The events of a file, row by row in its order.

        Raises UsageError for a file that cannot be read as the mapping says, and in strict mode for a row.
        """
        for line, cells in read_rows(path, self._mapping):
            self.report.rows += 1
            try:
                yield from self._row(cells, f"{path}:{line}")
            except RowProblem as problem:
                self._skip(path, line, problem)

    def _row(self, cells: dict[str, str] | None, place: str) -> list[Message]:
        """All events of a row, before any is given out."""
        if cells is None:
            raise RowProblem("", "", "the row has more or fewer fields than the header")
        row = CsvRow(cells, self._readers)
        identity = "/".join(row.needed(column) for column in self._mapping.identity)
        earlier = self._lines.setdefault(identity, place)
        if earlier != place:
            raise RowProblem("/".join(self._mapping.identity), identity, "an earlier row has the same identity")
        left_out: list[str] = []
        events = [message for writer in self._writers for message in self._written(writer, row, identity, left_out)]
        if not events:
            raise RowProblem("", "", f"no rule of the mapping applies{_but(left_out)}")
        self._count(row, events)
        for what in left_out:
            self.report.left_out[what] = self.report.left_out.get(what, 0) + 1
        return events

    @staticmethod
    def _written(writer: "RuleWriter", row: CsvRow, identity: str, left_out: list[str]) -> Iterator[Message]:
        """The event of a rule, if the row has it; an optional one that lacks a cell is noted in `left_out`."""
        try:
            if writer.applies(row):
                yield writer.write(row, identity)
        except EmptyCell as empty:
            if not writer.is_optional:
                raise
            left_out.append(f"{writer.name}: {empty.reason}")

    def _count(self, row: CsvRow, events: list[Message]) -> None:
        for event in events:
            kind = str(type(event).__struct_config__.tag)
            self.report.events[kind] = self.report.events.get(kind, 0) + 1
        for column in row.fallbacks:
            missing = self._mapping.column(column).missing
            note = f"{column}: {(missing and missing.note) or 'the fallback of the mapping'}"
            self.report.fallbacks[note] = self.report.fallbacks.get(note, 0) + 1

    def _skip(self, path: Path, line: int, problem: RowProblem) -> None:
        if self._strict:
            what = f"column {problem.column}, value {problem.value!r}: " if problem.column else ""
            raise UsageError(f"{path}:{line}: {what}{problem.reason}") from problem
        self.report.skipped[problem.reason] = self.report.skipped.get(problem.reason, 0) + 1
        self.report.lacking += isinstance(problem, EmptyCell) and problem.column not in self._mapping.identity
        if len(self.report.problems) < MAX_SHOWN_PROBLEMS:
            self.report.problems.append(SkippedRow(line, problem.column, problem.value, problem.reason))


class RuleWriter:
    """Writes the event of one rule."""

    def __init__(self, rule: EventRule, mapping: CsvMapping) -> None:
        self.name = rule.name
        self.is_optional = rule.optional
        self._rule = rule
        self._source = mapping.source
        self._templates = {name: Template(value) for name, value in rule.fields.items() if isinstance(value, str)}
        self._given = {"type": rule.type}
        if "source" in event_types()[rule.type].__struct_fields__:
            self._given["source"] = mapping.source

    def applies(self, row: CsvRow) -> bool:
        """Whether the row has this event; raises RowProblem."""
        return row.meets(self._rule.when)

    def write(self, row: CsvRow, identity: str) -> Message:
        """The row's event; raises RowProblem."""
        fields: dict[str, object] = {**self._given, "event_id": self._event_id(identity)}
        for name, value in self._rule.fields.items():
            template = self._templates.get(name)
            filled = value if template is None else template.fill(row.cell, row.needed)
            if filled is not None:
                fields[name] = filled
        try:
            message = message_of(fields)
            cents(getattr(message, "amount", None) or ZERO)
        except (msgspec.ValidationError, BadRecord) as error:
            raise self._blame(str(error), fields) from error
        return message

    def _event_id(self, identity: str) -> str:
        """The same row and rule have the same id in every import; a long one becomes a digest."""
        event_id = f"{self._source}/{identity}/{self._rule.name}"
        if len(event_id) <= MAX_ID_LENGTH:
            return event_id
        return f"{self._source}/{blake2b(event_id.encode(), digest_size=20).hexdigest()}"

    def _blame(self, error: str, fields: dict[str, object]) -> RowProblem:
        """The columns behind the field that the contract refuses."""
        name = error.partition("`$.")[2].rstrip("`")
        template = self._templates.get(name)
        columns = ", ".join(template.columns) if template else ""
        return RowProblem(columns, str(fields.get(name, "")), f"{self._rule.type}: {error}")


def _but(left_out: list[str]) -> str:
    return f", as its optional events lack a cell: {', '.join(left_out)}" if left_out else ""


def in_order_of_time(messages: Iterator[Message]) -> list[Message]:
    """Oldest first, so that a history passes as it happened; entries without an instant come before all."""
    return sorted(messages, key=_occurred)


def _occurred(message: Message) -> datetime:
    return message.occurred_at or EARLIEST


def report_lines(report: ImportReport) -> Iterator[str]:
    """The report for people, line by line."""
    yield f"{report.rows} rows read, {sum(report.events.values())} events"
    for kind, count in sorted(report.events.items()):
        yield f"  {count} {kind}"
    yield f"{sum(report.skipped.values())} rows skipped"
    for reason, count in sorted(report.skipped.items(), key=itemgetter(1), reverse=True):
        yield f"  {count}: {reason}"
    for row in report.problems:
        yield (
            f"  line {row.line}"
            + (f", column {row.column}, value {row.value!r}" if row.column else "")
            + f": {row.reason}"
        )
    if report.lacking:
        yield (
            f"  {report.lacking} of them lack a cell that an event needs: if rows may lack that event, write "
            "`optional = true` into its [[events]], and they give their others"
        )
    if report.left_out:
        yield f"{sum(report.left_out.values())} optional events left out"
    for what, count in sorted(report.left_out.items()):
        yield f"  {count}: {what}"
    yield f"{sum(report.fallbacks.values())} empty cells filled in"
    for note, count in sorted(report.fallbacks.items()):
        yield f"  {count}: {note}"
