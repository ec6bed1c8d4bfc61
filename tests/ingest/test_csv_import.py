"""CSV files to events: exact events for good rows, exact accounts of bad ones, clear words for bad files."""

import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from processors.ingest.csv_import import CsvImport, ImportReport, SkippedRow, in_order_of_time, report_lines
from processors.ingest.mapping import load_mapping
from schemas.codec import decode_message, encode
from schemas.errors import UsageError
from schemas.events import CustomerRevenue, Message, OpportunityCreated, OpportunityLost, OpportunityWon, RepUpdated

MAPPING = """
source = "crm"
identity = ["id"]

[columns.stage]
values = { "Closed Won" = "won", "Closed Lost" = "lost" }
only_values = true

[columns.account]
missing = { fallback = "account of {id}", note = "no account" }

[columns.opened]
kind = "date"
format = "%d.%m.%Y"
zone = "Europe/Berlin"
missing = { fallback = "31.12.2025", when = { stage = ["lost"] } }

[columns.closed]
kind = "instant"
zone = "America/New_York"
empty = ["n/a"]

[columns.value]
kind = "amount"
decimal = ","
group = "."

[[events]]
name = "created"
type = "opportunity.created"
[events.fields]
occurred_at = "{opened}"
customer_id = "{account}"
opportunity_id = "{id}"
rep_id = "{owner}"
segment = "{segment?}"

[[events]]
name = "won"
type = "opportunity.won"
when = { stage = ["won"] }
[events.fields]
occurred_at = "{closed}"
customer_id = "{account}"
opportunity_id = "{id}"
rep_id = "{owner}"
amount = "{value}"

[[events]]
name = "lost"
type = "opportunity.lost"
when = { stage = ["lost"] }
[events.fields]
occurred_at = "{closed}"
customer_id = "{account}"
opportunity_id = "{id}"
rep_id = "{owner}"
reason = "unknown"
"""

HEADER = "id,stage,account,opened,closed,value,owner,segment\n"
GOOD = 'O1,Closed Won,"Smith, ""Jo"" & Co",01.07.2026,2026-07-03 09:30:00,"1.234,50",Ada,small\n'


class Run:
    """One import of a small file."""

    def __init__(self, tmp_path: Path) -> None:
        self._mapping = tmp_path / "m.toml"
        self.path = tmp_path / "rows.csv"

    def __call__(
        self, content: str | bytes, mapping: str = MAPPING, *, strict: bool = False
    ) -> tuple[list[Message], ImportReport]:
        self._mapping.write_text(mapping, encoding="utf-8")
        self.path.write_bytes(content.encode() if isinstance(content, str) else content)
        imported = CsvImport(load_mapping(self._mapping), strict=strict)
        return list(imported.messages(self.path)), imported.report


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_a_row_gives_its_events_with_zones_amounts_quotes_and_values_applied(run: Run) -> None:
    events, report = run(HEADER + GOOD)
    customer = 'Smith, "Jo" & Co'
    assert events == [
        OpportunityCreated(
            event_id="crm/O1/created",
            occurred_at=datetime(2026, 6, 30, 22, tzinfo=UTC),
            customer_id=customer,
            source="crm",
            opportunity_id="O1",
            rep_id="Ada",
            segment="small",
        ),
        OpportunityWon(
            event_id="crm/O1/won",
            occurred_at=datetime(2026, 7, 3, 13, 30, tzinfo=UTC),
            customer_id=customer,
            source="crm",
            opportunity_id="O1",
            rep_id="Ada",
            amount=Decimal("1234.50"),
        ),
    ]
    assert report == ImportReport(rows=1, events={"opportunity.created": 1, "opportunity.won": 1})
    assert all(decode_message(encode(event)) == event for event in events)


def test_the_same_file_gives_the_same_bytes(run: Run) -> None:
    assert [encode(event) for event in run(HEADER + GOOD)[0]] == [encode(event) for event in run(HEADER + GOOD)[0]]


def test_an_optional_cell_that_is_empty_leaves_its_field_out(run: Run) -> None:
    (created, _), _ = run(HEADER + GOOD.replace("small", " "))
    assert isinstance(created, OpportunityCreated)
    assert created.segment is None


def test_fallbacks_fill_empty_cells_where_their_condition_holds_and_are_counted(run: Run) -> None:
    events, report = run(HEADER + "O2,Closed Lost,,,2026-01-02T00:00:00+01:00,,Bo,\n")
    assert [(event.customer_id, event.occurred_at) for event in events if not isinstance(event, RepUpdated)] == [
        ("account of O2", datetime(2025, 12, 30, 23, tzinfo=UTC)),
        ("account of O2", datetime(2026, 1, 1, 23, tzinfo=UTC)),
    ]
    assert isinstance(events[1], OpportunityLost)
    assert events[1].reason == "unknown"
    assert report.fallbacks == {"account: no account": 1, "opened: the fallback of the mapping": 1}


def test_a_fallback_of_another_column_is_read_as_it_stands_in_the_file(tmp_path: Path) -> None:
    """The net amount for the gross one, with its decimal comma."""
    (tmp_path / "mapping.toml").write_text(
        """
source = "shop"
identity = ["id"]
[columns.net]
kind = "amount"
decimal = ","
[columns.gross]
kind = "amount"
decimal = ","
missing = { fallback = "{net}" }
[columns.at]
kind = "instant"
[[events]]
name = "paid"
type = "customer.revenue"
[events.fields]
occurred_at = "{at}"
customer_id = "{id}"
amount = "{gross}"
""",
        encoding="utf-8",
    )
    (tmp_path / "paid.csv").write_text('id,net,gross,at\n1,"12,50",,2026-01-01T00:00:00Z\n', encoding="utf-8")
    (paid,) = CsvImport(load_mapping(tmp_path / "mapping.toml")).messages(tmp_path / "paid.csv")
    assert isinstance(paid, CustomerRevenue)
    assert str(paid.amount) == "12.50"


OTHERWISE = "value is no amount written with ',' before the decimals and '.' between each three digits"
BAD_ROWS = {
    "an empty cell that is needed": (
        GOOD.replace("01.07.2026", ""),
        SkippedRow(2, "opened", "", "opened is empty"),
    ),
    "a text that means empty": (
        GOOD.replace("2026-07-03 09:30:00", "n/a"),
        SkippedRow(2, "closed", "", "closed is empty"),
    ),
    "a date in another format": (
        GOOD.replace("01.07.2026", "07/01/2026"),
        SkippedRow(2, "opened", "07/01/2026", "opened is no date written as %d.%m.%Y"),
    ),
    "a day that no month has": (
        GOOD.replace("01.07.2026", "31.02.2026"),
        SkippedRow(2, "opened", "31.02.2026", "opened is no date written as %d.%m.%Y"),
    ),
    "an instant that is none": (
        GOOD.replace("2026-07-03 09:30:00", "yesterday"),
        SkippedRow(2, "closed", "yesterday", "closed is no instant written as ISO 8601"),
    ),
    "a date before the calendar": (
        GOOD.replace("2026-07-03 09:30:00", "0001-01-01T00:00:00+10:00"),
        SkippedRow(2, "closed", "0001-01-01T00:00:00+10:00", "closed is beyond the calendar"),
    ),
    "an amount that is none": (
        GOOD.replace("1.234,50", "a lot"),
        SkippedRow(2, "value", "a lot", OTHERWISE),
    ),
    "an amount with three decimals": (
        GOOD.replace("1.234,50", "1,234"),
        SkippedRow(2, "value", "1,234", "value is no amount with at most 2 decimals and 10^12 units"),
    ),
    "an amount that is not finite": (
        GOOD.replace("1.234,50", "NaN"),
        SkippedRow(2, "value", "NaN", OTHERWISE),
    ),
    "an amount without a decimal system": (
        GOOD.replace("1.234,50", "1e30"),
        SkippedRow(2, "value", "1e30", OTHERWISE),
    ),
    "an amount beyond any deal": (
        GOOD.replace("1.234,50", "1.000.000.000.001"),
        SkippedRow(2, "value", "1.000.000.000.001", "value is no amount with at most 2 decimals and 10^12 units"),
    ),
    "a value that is not known": (
        GOOD.replace("Closed Won", "Closed"),
        SkippedRow(2, "stage", "Closed", "stage is none of the known values"),
    ),
    "too few fields": ("O1,Closed Won\n", SkippedRow(2, "", "", "the row has more or fewer fields than the header")),
    "too many fields": (
        GOOD.replace("small", "small,extra"),
        SkippedRow(2, "", "", "the row has more or fewer fields than the header"),
    ),
    "no identity": (GOOD.replace("O1", ""), SkippedRow(2, "id", "", "id is empty")),
    "an id that the contract refuses": (
        GOOD.replace("Ada", "A" * 129),
        SkippedRow(2, "owner", "A" * 129, "opportunity.created: Expected `str` of length <= 128 - at `$.rep_id`"),
    ),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_gives_nothing_and_is_told_with_line_column_and_value(run: Run, case: str) -> None:
    row, problem = BAD_ROWS[case]
    events, report = run(HEADER + row + GOOD.replace("O1", "O9"))
    assert {event.event_id for event in events} == {"crm/O9/created", "crm/O9/won"}
    assert report.problems == [problem]
    assert report.skipped == {problem.reason: 1}
    assert report.rows == 2


@pytest.mark.parametrize("case", BAD_ROWS)
def test_strict_ends_at_the_first_bad_row(run: Run, case: str) -> None:
    row, problem = BAD_ROWS[case]
    with pytest.raises(UsageError) as caught:
        run(HEADER + GOOD.replace("O1", "O9") + row, strict=True)
    where = f"column {problem.column}, value {problem.value!r}: " if problem.column else ""
    assert str(caught.value) == f"{run.path}:3: {where}{problem.reason}"


def test_a_row_to_which_no_rule_applies_is_skipped(run: Run) -> None:
    mapping = MAPPING.replace('name = "created"', 'name = "created"\nwhen = { stage = ["won", "lost"] }')
    _, report = run(HEADER + GOOD.replace("Closed Won", ""), mapping)
    assert report.skipped == {"no rule of the mapping applies": 1}


def test_a_repeated_identity_is_skipped_since_its_events_would_have_the_same_ids(run: Run) -> None:
    events, report = run(HEADER + GOOD + GOOD.replace("Ada", "Bo"))
    assert {event.rep_id for event in events if isinstance(event, OpportunityCreated)} == {"Ada"}
    assert report.problems == [SkippedRow(3, "id", "O1", "an earlier row has the same identity")]


def test_line_numbers_count_lines_within_quotes_and_empty_lines(run: Run) -> None:
    broken = GOOD.replace("01.07.2026", "soon").replace("O1", "O3")
    _, report = run(HEADER + "\n" + GOOD.replace("Jo", "J\no") + "\n" + broken)
    assert report.rows == 2
    assert [problem.line for problem in report.problems] == [6]


def test_a_byte_order_mark_and_windows_line_ends_are_no_matter(run: Run) -> None:
    plain, _ = run(HEADER + GOOD)
    assert run(b"\xef\xbb\xbf" + (HEADER + GOOD).replace("\n", "\r\n").encode())[0] == plain


def test_another_encoding_delimiter_and_quote_are_read_as_the_mapping_says(run: Run) -> None:
    mapping = MAPPING.replace(
        "[columns.stage]", "[file]\nencoding='cp1252'\ndelimiter=';'\nquote=\"'\"\n[columns.stage]"
    )
    content = HEADER.replace(",", ";") + "O1;Closed Won;'Müller; Söhne';01.07.2026;2026-07-03T09:30Z;5;Ada;\n"
    events, _ = run(content.encode("cp1252"), mapping)
    assert {event.customer_id for event in events if not isinstance(event, RepUpdated)} == {"Müller; Söhne"}


BAD_FILES = {
    "empty": (b"", r"rows.csv: is empty; a first line with the names of the columns"),
    "only a mark": (b"\xef\xbb\xbf", r"rows.csv: is empty"),
    "wrong encoding": (
        (HEADER + GOOD + GOOD.replace("Ada", "Zoë")).encode("cp1252"),
        r"rows.csv:3: is not written in utf-8; the mapping's file.encoding",
    ),
    "duplicate headers": (
        (HEADER.replace("segment", "owner") + GOOD).encode(),
        r"rows.csv:1: the header names owner more than once",
    ),
    "absent columns": (
        (HEADER.replace("owner", "rep") + GOOD).encode(),
        r"rows.csv:1: the mapping needs owner; the header has id, stage, account, opened, closed, value, rep, segment",
    ),
    "an open quote": (
        (HEADER + GOOD + 'O2,"Closed Won,a,b\n').encode(),
        r"rows.csv:3: the row that begins here is no CSV: unexpected end of data",
    ),
    "text after a quote": (
        (HEADER + 'O2,"Closed" Won,a,b\n').encode(),
        r"rows.csv:2: the row that begins here is no CSV: ',' expected after '\"'",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_cannot_be_read_is_an_error_of_one_line(run: Run, case: str) -> None:
    content, message = BAD_FILES[case]
    with pytest.raises(UsageError, match=message) as caught:
        run(content)
    assert "\n" not in str(caught.value)


def test_duplicate_headers_that_no_rule_needs_are_no_matter(run: Run) -> None:
    events, _ = run(HEADER.replace("\n", ",note,note\n") + GOOD.replace("\n", ",x,y\n"))
    assert len(events) == 2


def test_a_header_alone_is_a_file_without_rows(run: Run) -> None:
    assert run(HEADER) == ([], ImportReport())


def test_an_absent_file_is_named(run: Run, tmp_path: Path) -> None:
    run(HEADER)
    imported = CsvImport(load_mapping(tmp_path / "m.toml"))
    with pytest.raises(UsageError, match=r"none.csv: cannot be read \(No such file or directory\)"):
        list(imported.messages(tmp_path / "none.csv"))


def test_several_files_share_one_report_and_one_set_of_identities(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(MAPPING, encoding="utf-8")
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(HEADER + GOOD, encoding="utf-8")
    imported = CsvImport(load_mapping(tmp_path / "m.toml"))
    assert [len(list(imported.messages(tmp_path / name))) for name in ("a.csv", "b.csv")] == [2, 0]
    assert imported.report.rows == 2
    assert imported.report.skipped == {"an earlier row has the same identity": 1}


def test_a_long_identity_becomes_a_digest_that_fits(run: Run) -> None:
    rows = "".join(GOOD.replace("O1", "O" * 127 + end) for end in "AB")
    events, _ = run(HEADER + rows)
    ids = {str(event.event_id) for event in events}
    assert len(ids) == 4
    assert all(len(event_id) <= 128 and event_id.startswith("crm/") for event_id in ids)


def test_constants_of_every_kind_reach_the_event(run: Run) -> None:
    mapping = """
    source = "bank"
    identity = ["id"]
    [[events]]
    name = "paid"
    type = "customer.revenue"
    fields = { occurred_at = "2026-01-31T12:00:00+01:00", customer_id = "{id}", amount = 12.5, rep_id = "{owner?}" }
    [[events]]
    name = "called"
    type = "activity.logged"
    [events.fields]
    occurred_at = "2026-01-31T12:00:00Z"
    customer_id = "{id}"
    rep_id = "Ada"
    kind = "call"
    recontactable = true
    duration_seconds = "{owner}"
    """
    (paid, called), _ = run("id,owner\nC1,90\n", mapping)
    assert isinstance(paid, CustomerRevenue)
    assert (paid.amount, paid.occurred_at) == (Decimal("12.5"), datetime(2026, 1, 31, 11, tzinfo=UTC))
    assert decode_message(encode(called)) == called


def test_a_row_that_would_announce_nobody_as_a_rep_is_told(run: Run) -> None:
    mapping = """
        source = "hr"
        identity = ["id"]
        [[events]]
        name = "rep"
        type = "rep.updated"
        fields = { rep_id = "{id}", name = "{name}" }
        """
    (ann,), report = run("id,name\n_unassigned,Triage\nann,Ann\n", mapping)
    assert isinstance(ann, RepUpdated)
    assert [(problem.line, problem.value) for problem in report.problems] == [(2, "_unassigned")]


def test_an_amount_is_written_as_the_contract_has_it_whatever_the_cell_says(run: Run) -> None:
    amounts = {"5,000": "5.00", "1.234,5": "1234.50", "1234,5": "1234.50", "1.234": "1234.00", ",5": "0.50"}
    for cell, text in {**amounts, "+7": "7.00", "0012": "12.00", "-12.345.678": "-12345678.00"}.items():
        (_, won), _ = run(HEADER + GOOD.replace("1.234,50", cell))
        assert f'"amount":"{text}"'.encode() in encode(won)
        assert decode_message(encode(won)) == won


MARKS_ELSEWHERE = [
    "12.50",
    "1.5",
    "...1,5",
    ".5",
    "1.2345",
    "1234.567",
    "12.34.567",
    "1..234",
    "1.234.",
    "1,234.50",
    "5,",
]
OTHER_SIGNS = ["1,2,3", ",", "-", "--5", "1_000", "1_0,5", "１２", "١٢", "1E2", "Infinity", "0x10", "1 234", "€ 5"]


@pytest.mark.parametrize("cell", [*MARKS_ELSEWHERE, *OTHER_SIGNS])
def test_an_amount_that_is_written_otherwise_than_the_mapping_says_is_skipped_rather_than_guessed(
    run: Run, cell: str
) -> None:
    events, report = run(HEADER + GOOD.replace("1.234,50", cell))
    assert events == []
    assert report.problems == [SkippedRow(2, "value", cell, OTHERWISE)]


def test_marks_of_amounts_may_be_any_and_without_a_group_there_is_none(run: Run) -> None:
    for marks, cell in (('group = "\'"', "1'234.50"), ('group = " "', "1 234.50"), ('decimal = "|"', "1234|50")):
        (_, won), _ = run(HEADER + GOOD.replace("1.234,50", cell), MAPPING.replace('decimal = ","\ngroup = "."', marks))
        assert isinstance(won, OpportunityWon)
        assert won.amount == Decimal("1234.50")
    _, report = run(HEADER + GOOD.replace("1.234,50", "1,234"), MAPPING.replace('decimal = ","\ngroup = "."\n', ""))
    assert report.skipped == {"value is no amount written with '.' before the decimals": 1}


NAMED_ZONE = """
source = "t"
identity = ["id"]
[columns.at]
kind = "instant"
format = "%Y-%m-%d %H:%M:%S %Z"
[[events]]
name = "c"
type = "opportunity.created"
[events.fields]
occurred_at = "{at}"
customer_id = "{id}"
opportunity_id = "{id}"
rep_id = "r"
"""


def test_a_zones_name_is_read_where_it_is_that_of_utc_and_nothing_else_is_taken_for_it(run: Run) -> None:
    cells = ("2024-03-05 10:00:00 UTC", "2024-03-05 10:00:00 gmt", "2024-03-05 10:00:00 EST")
    rows = "".join(f"{number},{cell}\n" for number, cell in enumerate((*cells, "2024-03-05 10:00:00")))
    messages, report = run("id,at\n" + rows, NAMED_ZONE)
    assert [message.occurred_at for message in messages] == [datetime(2024, 3, 5, 10, tzinfo=UTC)] * 2
    assert report.skipped == {"at names no zone that %Z may read, which are UTC and GMT": 2}


def test_the_machines_own_zone_is_not_taken_for_the_cells(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """`strptime` knows the names of the machine's own zone, and drops them like all others."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        messages, report = run("id,at\n1,2024-03-05 10:00:00 EST\n", NAMED_ZONE)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert (messages, sum(report.skipped.values())) == ([], 1)


OPTIONAL = MAPPING.replace('name = "won"\n', 'name = "won"\noptional = true\n')


def test_a_row_loses_only_the_optional_event_whose_cell_is_empty(run: Run) -> None:
    content = HEADER + GOOD.replace("O1", "O0") + GOOD.replace("2026-07-03 09:30:00", "")
    messages, report = run(content, OPTIONAL)
    assert [message.event_id for message in messages if not isinstance(message, RepUpdated)] == [
        *("crm/O0/created", "crm/O0/won", "crm/O1/created"),
    ]
    assert (report.left_out, report.skipped) == ({"won: closed is empty": 1}, {})
    assert list(report_lines(report))[-3:-1] == ["1 optional events left out", "  1: won: closed is empty"]


def test_an_optional_event_with_a_cell_that_cannot_be_read_still_voids_its_row(run: Run) -> None:
    messages, report = run(HEADER + GOOD.replace("2026-07-03 09:30:00", "someday"), OPTIONAL)
    assert (messages, report.left_out) == ([], {})
    assert list(report.skipped) == ["closed is no instant written as ISO 8601"]


def test_a_row_of_which_nothing_but_empty_optional_events_is_left_is_skipped(run: Run) -> None:
    both = OPTIONAL.replace('name = "created"\n', 'name = "created"\noptional = true\n')
    _, report = run(HEADER + GOOD.replace("2026-07-03 09:30:00", "").replace("Ada", ""), both)
    lacking = "created: owner is empty, won: closed is empty"
    assert list(report.skipped) == [f"no rule of the mapping applies, as its optional events lack a cell: {lacking}"]


def test_a_row_that_lacks_a_cell_is_told_with_the_mend(run: Run) -> None:
    _, report = run(HEADER + GOOD + GOOD.replace("O1", "O2").replace("2026-07-03 09:30:00", ""))
    assert report.skipped == {"closed is empty": 1}
    (line,) = [line for line in report_lines(report) if "optional = true" in line]
    assert line.startswith("  1 of them lack a cell that an event needs")


def test_most_rows_are_skipped_when_they_are_more_than_those_with_events(run: Run) -> None:
    bad = GOOD.replace("O1", "O9").replace("1.234,50", "?")
    for content, mostly in ((GOOD, False), (GOOD + bad, False), (GOOD + bad + bad, True), (bad, True), ("", False)):
        _, report = run(HEADER + content)
        assert report.is_mostly_skipped == mostly


def test_an_amount_column_without_its_kind_is_held_to_the_contract_too(run: Run) -> None:
    _, report = run(HEADER + GOOD.replace("1.234,50", "NaN"), MAPPING.replace('kind = "amount"\n', ""))
    assert [(problem.column, problem.value) for problem in report.problems] == [("value", "NaN")]


def test_messages_in_order_of_time_begin_with_entries_that_have_none() -> None:
    late = OpportunityLost(
        event_id="1", occurred_at=datetime(2026, 1, 2, tzinfo=UTC), customer_id="c", opportunity_id="o", rep_id="r"
    )
    early = OpportunityCreated(
        event_id="2", occurred_at=datetime(2026, 1, 1, tzinfo=UTC), customer_id="c", opportunity_id="o", rep_id="r"
    )
    rep = RepUpdated(rep_id="r", name="R")
    assert in_order_of_time(iter([late, early, rep])) == [rep, early, late]


def test_the_report_tells_counts_reasons_and_the_first_places(run: Run) -> None:
    _, report = run(HEADER + GOOD + GOOD + "O2,Closed Lost,,,2026-01-02T00:00Z,,Bo,\nO3,x\n")
    assert list(report_lines(report)) == [
        "4 rows read, 4 events",
        "  2 opportunity.created",
        "  1 opportunity.lost",
        "  1 opportunity.won",
        "2 rows skipped",
        "  1: an earlier row has the same identity",
        "  1: the row has more or fewer fields than the header",
        "  line 3, column id, value 'O1': an earlier row has the same identity",
        "  line 5: the row has more or fewer fields than the header",
        "2 empty cells filled in",
        "  1: account: no account",
        "  1: opened: the fallback of the mapping",
    ]
