"""`salespulse backtest`: history under one policy or two, as a table, as JSON, or as a page with charts."""

from pathlib import Path
from typing import Any

import click
import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from rich.console import Console
from rich.table import Table

from config.load_policy import load_policy
from processors.commands.command_line import output
from processors.commands.event_lines import BadLineReport, read_messages
from processors.commands.options import FILE, INSTANT
from processors.commands.printable import printable
from processors.commands.replay import percent
from processors.core.reports.backtest import (
    Backtest,
    BacktestReport,
    PolicyDifference,
    PolicyOutcome,
    RepCount,
)
from schemas.errors import BadRecord

HERE = Path(__file__).resolve().parent
MAX_SHOWN_REPS = 30
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
BUSIEST = 5
CAUSES = {"calendars": "other calendars, teams and zones", "levels": "other levels"}


@click.command("backtest")
@click.argument("files", nargs=-1, required=True)
@click.option("--policy", required=True, type=FILE, help="the policy to try")
@click.option("--against", type=FILE, help="the policy to compare it with")
@click.option("--as-of", type=INSTANT, help="the instant to look at; default: the newest event")
@click.option("--format", "form", type=click.Choice(["table", "json", "html"]), default="table", show_default=True)
def command(files: tuple[str, ...], policy: Path, against: Path | None, as_of: int | None, form: str) -> None:
    """The alerts that history would have raised under a policy.

    FILES are JSONL events; - is standard input. With --against, two policies side by side.
    """
    report = backtest_files(files, policy, against, as_of)
    if form == "table":
        print_backtest(report, output())
    else:
        click.echo(as_json(report) if form == "json" else as_html(report))


def backtest_files(files: tuple[str, ...], policy: Path, against: Path | None, as_of_us: int | None) -> BacktestReport:
    """History under a policy, and under another one to compare with. `-` is standard input.

    Raises ConfigError for a policy that cannot be, UsageError for a file that cannot be read or
    files that hold no message.
    """
    old = load_policy(against) if against is not None else None
    run = Backtest(load_policy(policy), old, as_of_us)
    bad = BadLineReport()
    for position, message in read_messages(files):
        if isinstance(message, BadRecord):
            bad.add(position, message)
            run.count_bad(message)
        else:
            bad.any_readable = True
            run.add(message)
    bad.print_first()
    return run.report(str(policy), str(against or ""))


def as_json(report: BacktestReport) -> str:
    """The report for programs, with sorted keys: equal reports are equal byte for byte."""
    return msgspec.json.format(msgspec.json.encode(report, order="sorted"), indent=2).decode()


def as_html(report: BacktestReport) -> str:
    """The report as one page that needs nothing else; ids and names are escaped."""
    # Only this template is ever loaded, and every value in it is escaped.
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("backtest.html").render(_values(report))


def _values(report: BacktestReport) -> dict[str, Any]:
    return {
        "report": report,
        "weekdays": WEEKDAYS,
        "hours": hours_of(report.new),
        "causes": CAUSES,
        "percent": percent,
        "signed": signed,
        "reps": _busiest_reps(report),
        "shown_reps": MAX_SHOWN_REPS,
    }


def print_backtest(report: BacktestReport, console: Console) -> None:
    """The report for people."""
    against = f" against {report.old.policy}" if report.old is not None else ""
    console.print(f"[bold]{printable(report.new.policy)}[/]{printable(against)}, as of {report.as_of}")
    console.print(", ".join(f"{name} {count:,}" for name, count in report.events.items()))
    console.print(_levels(report))
    console.print(_reps(report))
    console.print(_hours(report))
    if report.comparison is not None:
        console.print(_differences(report))
        if report.comparison.causes is None:
            console.print("Causes cannot be separated: a policy has versions.")


def hours_of(side: PolicyOutcome) -> list[int]:
    """Alerts of all levels by hour of the week."""
    return [sum(counts) for counts in zip(*side.hours.values(), strict=True)] or [0] * 168


def signed(number: int) -> str:
    """A difference with its sign."""
    return f"{number:+,}" if number else "0"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    return table


def _levels(report: BacktestReport) -> Table:
    table = _table("Levels", "level", "turns", "alerts", "breaches", "missed", "alerts before", "missed before")
    old = report.old.levels if report.old is not None else {}
    for name in sorted(report.new.levels.keys() | old.keys()):
        new, before = report.new.levels.get(name), old.get(name)
        row = [str(new.turns), str(new.alerts), str(new.breaches), percent(new.missed)] if new else ["-"] * 4
        row += [str(before.alerts), percent(before.missed)] if before else ["-"] * 2
        table.add_row(printable(name), *row)
    return table


def _busiest_reps(report: BacktestReport) -> list[tuple[str, RepCount | None, RepCount | None]]:
    """Every rep with its counts under the new policy and the old one, most alerts first."""
    old = report.old.reps if report.old is not None else {}
    rows = [(name, report.new.reps.get(name), old.get(name)) for name in report.new.reps.keys() | old.keys()]
    return sorted(rows, key=lambda row: (-max(count.alerts if count else 0 for count in row[1:]), row[0]))


def _reps(report: BacktestReport) -> Table:
    rows = _busiest_reps(report)
    shown = f", the {MAX_SHOWN_REPS} with most alerts" if len(rows) > MAX_SHOWN_REPS else ""
    table = _table(f"Reps: {len(rows)}{shown}", "rep", "team", "alerts", "breaches", "by level", "alerts before")
    for name, new, old in rows[:MAX_SHOWN_REPS]:
        count = new or RepCount(old.team if old else "", 0, 0, {})
        levels = " ".join(f"{level}:{alerts}" for level, alerts in sorted(count.levels.items()))
        row = (str(count.alerts), str(count.breaches), printable(levels), str(old.alerts) if old else "-")
        table.add_row(printable(name), printable(count.team), *row)
    return table


def _hours(report: BacktestReport) -> Table:
    hours = hours_of(report.new)
    table = _table(f"The {BUSIEST} busiest hours of the week, by the reps' clocks", "hour", "alerts", "difference")
    busiest = sorted(range(len(hours)), key=lambda hour: (-hours[hour], hour))[:BUSIEST]
    for hour in busiest:
        difference = signed(report.comparison.hours[hour]) if report.comparison is not None else "-"
        table.add_row(f"{WEEKDAYS[hour // 24]} {hour % 24:02}:00", str(hours[hour]), difference)
    return table


def _differences(report: BacktestReport) -> Table:
    columns = ("alerts added", "removed", "moved", "breaches before", "after", "added", "removed")
    table = _table("What changes", "", *columns)
    comparison = report.comparison
    if comparison is not None:
        table.add_row("all", *_difference(comparison.total))
        for name, difference in comparison.levels.items():
            table.add_row(f"level {printable(name)}", *_difference(difference))
        for name, difference in (comparison.causes or {}).items():
            table.add_row(f"by {CAUSES[name]}", *_difference(difference))
    return table


def _difference(d: PolicyDifference) -> tuple[str, ...]:
    counts = (d.alerts_added, d.alerts_removed, d.alerts_moved, d.breaches_before, d.breaches_after)
    added = f"{d.breaches_added} ({percent(d.added_share)})"
    return (*map(str, counts), added, f"{d.breaches_removed} ({percent(d.removed_share)})")
