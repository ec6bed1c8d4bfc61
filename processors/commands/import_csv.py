"""`salespulse import csv`: the rows of CSV files as events, by a mapping."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

from config.load_policy import load_policy
from config.settings import Settings
from processors.commands.options import CONFIG, FILE, TO, settings_of
from processors.commands.progress import progress_bar
from processors.commands.target import Target
from processors.core.ledger.data_quality import quality_lines
from processors.core.reports.replay import Replay
from processors.core.time.instants import instant_us
from processors.core.time.windows import ALL
from processors.ingest.csv_import import CsvImport, ImportReport, in_order_of_time, report_lines
from processors.ingest.lateness import Lateness
from processors.ingest.mapping import load_mapping
from processors.kafka.pacing import FullSpeed
from processors.kafka.timed_messages import from_events
from schemas.errors import UsageError
from schemas.events import Message, RepUpdated


@click.group("import")
def command() -> None:
    """Import history from files."""


@command.command("csv")
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option("--mapping", required=True, type=FILE, help="mapping in TOML")
@click.option("--strict", is_flag=True, help="stop at the first row that does not fit")
@click.option("--allow-skipped", is_flag=True, help="send the other rows even if most do not fit")
@TO
@CONFIG
def import_csv(
    files: tuple[Path, ...], mapping: Path, strict: bool, allow_skipped: bool, to: str, config_file: Path | None
) -> None:
    """CSV files plus a mapping file to events, as JSONL or straight into Kafka.

    Exit 1, with nothing sent, if more rows were skipped than gave events.
    """
    target = Target(settings_of(config_file), sys.stdout.buffer if to == "stdout" else None)
    report = run_import_csv(files, mapping, target, strict=strict, allow_skipped=allow_skipped)
    for line in [*report_lines(report), *target.warnings, *target.quality]:
        click.echo(line, err=True)
    if report.is_mostly_skipped and not allow_skipped:
        click.echo(
            "nothing was sent, as most rows were skipped: mend the mapping or the file, or say --allow-skipped",
            err=True,
        )
        raise SystemExit(1)


def run_import_csv(
    files: Iterable[Path], mapping: Path, target: Target, *, strict: bool = False, allow_skipped: bool = False
) -> ImportReport:
    """All rows of the files as messages, oldest first; what became of the rows. Raises UsageError, Unavailable.

    Nothing is sent when most rows were skipped, unless that is allowed.
    """
    files = list(files)
    _refuse_twice(files)
    imported = CsvImport(load_mapping(mapping), strict=strict)
    with progress_bar("events read", None) as shown:
        messages = in_order_of_time(shown(message for path in files for message in imported.messages(path)))
    if imported.report.is_mostly_skipped and not allow_skipped:
        return imported.report
    target.quality.extend(_quality_lines(messages, target.settings))
    reps = [message for message in messages if isinstance(message, RepUpdated)]
    events = [message for message in messages if not isinstance(message, RepUpdated)]
    if reps:
        target.send_reps(reps)
    if events:
        lateness = Lateness(target.settings)
        with progress_bar("events sent", len(events)) as shown:
            timed = ((instant_us(event.occurred_at), event) for event in shown(events))
            target.send_events(from_events(lateness.watch(timed)), FullSpeed(), lateness)
    return imported.report


def _quality_lines(messages: Sequence[Message], settings: Settings) -> Iterator[str]:
    """What will be wrong with the events by the policy, as the board counts it."""
    run = Replay(load_policy(settings.policy.path))
    for message in messages:
        run.add(message)
    return quality_lines(run.quality()[ALL], run.counts["read"])


def _refuse_twice(files: Iterable[Path]) -> None:
    seen: set[Path] = set()
    for path in files:
        if path.resolve() in seen:
            raise UsageError(f"{path}: the file is named twice, and each of its events would be sent twice")
        seen.add(path.resolve())
