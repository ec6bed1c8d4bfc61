"""`salespulse verify`: fold the topics again and compare the live read model with it, field by field.

The system runs on meanwhile, so a difference counts only when it stays. Each round folds what has come since, waits
until the workers have published at least as much, and compares. A difference is one when three rounds in a row find the
same two values: what moves is the system at work.
"""

import asyncio
from collections.abc import Collection, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

import click
from rich.console import Console
from rich.table import Table

from config.clock import Clock, in_force
from config.settings import Settings
from processors.commands.command_line import output
from processors.commands.journal_facts import read_journal_facts
from processors.commands.new_log import read_logs
from processors.commands.options import CONFIG, settings_of
from processors.commands.printable import printable
from processors.commands.read_model_fields import (
    FieldKey,
    Fields,
    equal,
    read_clocks,
    read_fields,
    read_positions,
    readable,
)
from processors.commands.refolded_topics import RefoldedTopics
from processors.kafka.topic_reader import TopicReader, consumer
from schemas.errors import ConfigError, Unavailable

MAX_ROUNDS = 8
STAYS_ROUNDS = 3
ROUND_PAUSE_SECONDS = 2.0
STALL_TIMEOUT_SECONDS = 30.0
"""How long the published state may stand still behind the topics."""
POLL_SECONDS = 0.25
MAX_SHOWN_DIFFERENCES = 50


@click.command("verify")
@CONFIG
def command(config_file: Path | None) -> None:
    """Fold the topics again and compare the live numbers.

    Exit 1 if they differ, or if a customer's events are in several partitions.
    """
    result = verify(settings_of(config_file))
    print_verification(result, output())
    raise SystemExit(0 if result.is_right else 1)


class FieldDifference(NamedTuple):
    """A field that the facts and the read model disagree about; None: it is not there."""

    key: FieldKey
    folded: bytes | None
    published: bytes | None


class Verification(NamedTuple):
    """What came of it."""

    records: int
    fields: int
    differences: list[FieldDifference]
    split_customers: dict[str, list[int]]
    """Customers of whom several partitions have facts, with the partitions' numbers."""

    @property
    def is_right(self) -> bool:
        """Whether the read model agrees with the facts, and each customer is in one partition."""
        return not self.differences and not self.split_customers


def verify(settings: Settings, stall_timeout_seconds: float = STALL_TIMEOUT_SECONDS) -> Verification:
    """Compare until the differences are none, or have stayed; raises Unavailable, UsageError."""
    kafka, clock, refold = settings.kafka, Clock(settings.clock), RefoldedTopics(settings, read_logs(settings.kafka))
    seen: dict[FieldDifference, int] = {}
    fields = 0
    with consumer(kafka) as client, consumer(kafka) as letters_client:
        reader = TopicReader(client, kafka, (kafka.reps_topic, *kafka.events_topics))
        letters = TopicReader(letters_client, kafka, (kafka.dead_letters_topic,))
        for number in range(MAX_ROUNDS):
            _require_their_clock(settings)
            _read(refold, reader, letters, bar=number == 0)
            _wait_for_workers(settings, refold.positions(), stall_timeout_seconds)
            _leave_out(refold, letters)
            if number == 0:
                refold.keep(read_journal_facts(kafka, refold.old()))
            folded = refold.fields(clock.now_us())
            published = asyncio.run(read_fields(settings))
            fields = len(folded)
            found = [d for d in _differences(folded, published) if not refold.is_doubtful(d.key)]
            seen = {difference: seen.get(difference, 0) + 1 for difference in found}
            if _is_decided(number + 1, seen.values()):
                break
            sleep(ROUND_PAUSE_SECONDS)
    stayed = sorted(difference for difference, times in seen.items() if times >= STAYS_ROUNDS)
    return Verification(refold.records, fields, stayed, refold.split_customers())


def _require_their_clock(settings: Settings) -> None:
    """By another clock than the workers' other deadlines have passed: raises ConfigError instead of telling them."""
    mine = in_force(settings.clock)
    for theirs in asyncio.run(read_clocks(settings)):
        if theirs != mine:
            raise ConfigError(f"[clock] {mine}: the workers' is another one; set theirs here, too: {theirs}")


def _is_decided(rounds: int, times: Collection[int]) -> bool:
    """Whether nothing differs or, after enough rounds, every difference has stayed or is new: the system at work."""
    return not times or (rounds >= STAYS_ROUNDS and all(count == 1 or count >= STAYS_ROUNDS for count in times))


def _read(refold: RefoldedTopics, reader: TopicReader, letters: TopicReader, *, bar: bool) -> None:
    _leave_out(refold, letters)
    for record in reader.read(bar=bar):
        refold.add(record)
    refold.finish_reading()


def _leave_out(refold: RefoldedTopics, letters: TopicReader) -> None:
    for letter in letters.read(bar=False):
        refold.leave_out(letter)


def _wait_for_workers(settings: Settings, wanted: dict[str, int], stall_timeout_seconds: float) -> None:
    """Wait until as much is published as was folded; raises Unavailable when it stands still before."""
    known: dict[str, int] = {}
    deadline = monotonic() + stall_timeout_seconds
    while True:
        published = asyncio.run(read_positions(settings, list(wanted)))
        behind = {label: position - published.get(label, 0) for label, position in wanted.items()}
        late = {label: records for label, records in behind.items() if records > 0}
        if not late:
            return
        if published != known:
            known, deadline = published, monotonic() + stall_timeout_seconds
        if monotonic() > deadline:
            label, records = next(iter(sorted(late.items())))
            raise Unavailable(f"{label} is {records} records behind its topics and stands still: is a worker running?")
        sleep(POLL_SECONDS)


def _differences(folded: Fields, published: Fields) -> Iterator[FieldDifference]:
    for key in folded.keys() | published.keys():
        mine, theirs = folded.get(key), published.get(key)
        if not equal(key[1], mine, theirs):
            yield FieldDifference(key, mine, theirs)


def print_verification(result: Verification, console: Console) -> None:
    """The differences as a table, and one line of result."""
    if result.differences:
        table = Table("partition", "section", "field", "facts say", "read model says")
        for difference in result.differences[:MAX_SHOWN_DIFFERENCES]:
            partition, section, field = difference.key
            mine, theirs = (readable(section, value) for value in (difference.folded, difference.published))
            table.add_row(printable(partition) or "-", section, printable(field), printable(mine), printable(theirs))
        console.print(table)
        if len(result.differences) > MAX_SHOWN_DIFFERENCES:
            console.print(f"... and {len(result.differences) - MAX_SHOWN_DIFFERENCES} more")
    if result.split_customers:
        example, numbers = min(result.split_customers.items())
        console.print(
            f"{len(result.split_customers)} customers have events in several partitions, as {printable(example)} in "
            f"{', '.join(map(str, numbers))}: what belongs together is counted apart; key all records by customer_id"
        )
    verdict = f"{len(result.differences)} differences" if result.differences else "the read model is right"
    console.print(f"{result.records:,} records folded, {result.fields:,} fields compared: {verdict}")
