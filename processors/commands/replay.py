"""`salespulse replay`: the report over JSONL events, as JSON for programs or as tables for people."""

from pathlib import Path
from typing import Any

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from config.load_policy import load_policy
from processors.commands.command_line import output
from processors.commands.event_lines import BadLineReport, read_messages
from processors.commands.options import CONFIG, INSTANT, settings_of
from processors.commands.printable import printable
from processors.core.ledger.data_quality import quality_lines
from processors.core.reports.replay import Replay
from schemas.errors import BadRecord
from schemas.policy import Policy

MAX_SHOWN_OPEN_REQUESTS = 20


WINDOWS = ("today", "7d", "30d", "90d", "365d", "all")


@click.command("replay")
@click.argument("files", nargs=-1, required=True)
@click.option("--as-of", type=INSTANT, help="the instant to report at; default: the newest event")
@click.option("--format", "form", type=click.Choice(["json", "table"]), default="json", show_default=True)
@click.option("--window", type=click.Choice(WINDOWS), default="all", show_default=True, help="of the tables")
@CONFIG
def command(files: tuple[str, ...], as_of: int | None, form: str, window: str, config_file: Path | None) -> None:
    """The report over JSONL events, without Kafka.

    FILES are read in turn; - is standard input.
    """
    report = replay_files(files, load_policy(settings_of(config_file).policy.path), as_of)
    if form == "json":
        click.echo(as_json(report))
    else:
        print_tables(report, window, output())


def replay_files(files: tuple[str, ...], policy: Policy, as_of_us: int | None) -> dict[str, Any]:
    """The report over files. The first bad lines are printed to stderr; all are counted.

    Raises UsageError for a file that cannot be read, and when no line of any file is a message.
    """
    run = Replay(policy, as_of_us)
    bad = BadLineReport()
    for position, message in read_messages(files):
        if isinstance(message, BadRecord):
            run.counts["read"] += 1
            run.count_bad(message)
            bad.add(position, message)
        else:
            bad.any_readable = True
            rejected = len(run.rejected)
            run.add(message)
            if len(run.rejected) > rejected:
                bad.add(position, run.rejected[-1][1])
    bad.print_first()
    return {**run.report(), "quality": run.quality()}


def as_json(report: dict[str, Any]) -> str:
    """The report as JSON with sorted keys: equal reports are equal byte for byte."""
    return msgspec.json.format(msgspec.json.encode(report, order="sorted"), indent=2).decode()


def print_tables(report: dict[str, Any], window: str, console: Console) -> None:
    """The report for people: reps, stages, segments and who waits, for one window."""
    console.print(f"[bold]as of {report['as_of']}[/], window {window}")
    console.print(", ".join(f"{name} {count:,}" for name, count in report["events"].items()))
    console.print(_responses(report, window))
    console.print(_selling(report, window))
    console.print(_stages(report, window))
    if report["segments"]:
        console.print(_segments(report))
    if report["open_requests"]:
        console.print(_open_requests(report))
    for line in quality_lines(report["quality"][window], report["events"]["read"]):
        console.print(line, highlight=False)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(columns[0], no_wrap=True)
    for column in columns[1:]:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _responses(report: dict[str, Any], window: str) -> Table:
    columns = ("rep", "calls etc.", "responses", "per turn", "per customer", "p90", "in time", "breaches")
    table = _table("How customers are treated", *columns)
    for name, n in _rows(report, window):
        table.add_row(
            printable(name),
            str(sum(n["activities"].values())),
            str(n["responses"]),
            span(n["response_seconds_per_turn"]),
            span(n["response_seconds_per_customer"]),
            span(n["response_seconds_p90"]),
            share(next(iter(n["answered_within"].values()), 0), n["responses"]),
            " ".join(f"{level}:{count}" for level, count in n["breaches"].items()),
        )
    return table


def _selling(report: dict[str, Any], window: str) -> Table:
    columns = ("rep", "created", "won", "lost", "won/created", "won/closed", "cycle, won", "amount")
    table = _table("How customers are won", *columns)
    for name, n in _rows(report, window):
        table.add_row(
            printable(name),
            *(str(n[key]) for key in ("opportunities_created", "won", "lost")),
            percent(n["win_rate_created"]),
            percent(n["win_rate_closed"]),
            span(n["sales_cycle_won_seconds"]),
            n["won_amount"],
        )
    return table


def _rows(report: dict[str, Any], window: str) -> list[tuple[str, dict[str, Any]]]:
    """The numbers of each rep, and last of the company."""
    return [(name, windows[window]) for name, windows in {**report["reps"], "company": report["company"]}.items()]


def _stages(report: dict[str, Any], window: str) -> Table:
    table = _table("Stages of the company", "stage", "entered", "visited", "advanced", "conversion")
    for pipeline, stages in report["company"][window]["stages"].items():
        for stage, counts in stages.items():
            row = (str(counts[key]) for key in ("entered", "visited", "advanced"))
            table.add_row(printable(f"{pipeline} / {stage}"), *row, percent(counts["conversion"]))
    return table


def _segments(report: dict[str, Any]) -> Table:
    table = _table("Lifetime value", "segment", "customers", "revenue", "cost", "per customer")
    for name, segment in report["segments"].items():
        value = segment["lifetime_value"] or "-"
        table.add_row(printable(name), str(segment["customers"]), segment["revenue"], segment["cost"], value)
    return table


def _open_requests(report: dict[str, Any]) -> Table:
    waiting = report["open_requests"]
    shown = f", the {MAX_SHOWN_OPEN_REQUESTS} longest" if len(waiting) > MAX_SHOWN_OPEN_REQUESTS else ""
    table = _table(f"Waiting now: {len(waiting)}{shown}", "request", "customer", "rep", "since", "waiting", "past")
    for row in waiting[:MAX_SHOWN_OPEN_REQUESTS]:
        since, waited, past = row["opened_at"], span(row["waiting_seconds"]), " ".join(row["levels"])
        table.add_row(*(printable(row[key]) for key in ("request_id", "customer_id", "rep_id")), since, waited, past)
    return table


def span(seconds: float | None) -> str:
    """A duration for people: `45 s`, `12 min`, `3.5 h`, `9.2 d`; `-` for none."""
    if seconds is None:
        return "-"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def percent(value: float | None) -> str:
    """A ratio in percent; `-` for none."""
    return "-" if value is None else f"{100 * value:.1f} %"


def share(part: int, whole: int) -> str:
    """Part of a whole in percent; `-` of nothing."""
    return percent(part / whole if whole else None)
