"""`salespulse verify`: fold the topics again and compare the live read model with it, field by field.

The system runs on meanwhile, so a difference counts only when it stays. Each round folds what has come since, waits
until the workers have published at least as much, and compares. A difference is one when three rounds in a row find the
same two values: what moves is the system at work.
"""

import asyncio
from collections.abc import Collection, Iterator
from time import monotonic, sleep
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from config.clock import Clock, in_force
from config.settings import Settings
from processors.kafka.topic_reader import TopicReader, consumer
from processors.tools.kept import read_kept
from processors.tools.legible import legible
from processors.tools.new_log import read_logs
from processors.tools.published import Fields, Place, equal, read_clocks, read_fields, read_positions, readable
from processors.tools.refold import Refold
from schemas.errors import ConfigError, Unavailable

ROUNDS = 8
STAYS_ROUNDS = 3
ROUND_PAUSE_SECONDS = 2.0
PATIENCE_SECONDS = 30.0
"""How long the published state may stand still behind the topics."""
POLL_SECONDS = 0.25
SHOWN = 50


class Difference(NamedTuple):
    """A field that the facts and the read model disagree about; None: it is not there."""

    place: Place
    folded: bytes | None
    published: bytes | None


class Verification(NamedTuple):
    """What came of it."""

    records: int
    fields: int
    differences: list[Difference]
    torn: dict[str, list[int]]
    """Customers of whom several partitions have facts, with the partitions' numbers."""

    @property
    def is_right(self) -> bool:
        """Whether the read model says what the facts say, and each customer is in one place."""
        return not self.differences and not self.torn


def verify(settings: Settings, patience_seconds: float = PATIENCE_SECONDS) -> Verification:
    """Compare until the differences are none, or have stayed; raises Unavailable, UsageError."""
    kafka, clock, refold = settings.kafka, Clock(settings.clock), Refold(settings, read_logs(settings.kafka))
    seen: dict[Difference, int] = {}
    fields = 0
    with consumer(kafka) as client, consumer(kafka) as letters_client:
        reader = TopicReader(client, kafka, (kafka.reps_topic, *kafka.events_topics))
        letters = TopicReader(letters_client, kafka, (kafka.dead_letters_topic,))
        for number in range(ROUNDS):
            _require_their_clock(settings)
            _read(refold, reader, letters, bar=number == 0)
            _wait_for_workers(settings, refold.positions(), patience_seconds)
            _leave_out(refold, letters)
            if number == 0:
                refold.keep(read_kept(kafka, refold.old()))
            folded = refold.fields(clock.now_us())
            published = asyncio.run(read_fields(settings))
            fields = len(folded)
            found = [d for d in _differences(folded, published) if not refold.is_doubtful(d.place)]
            seen = {difference: seen.get(difference, 0) + 1 for difference in found}
            if _is_decided(number + 1, seen.values()):
                break
            sleep(ROUND_PAUSE_SECONDS)
    stayed = sorted(difference for difference, times in seen.items() if times >= STAYS_ROUNDS)
    return Verification(refold.records, fields, stayed, refold.torn())


def _require_their_clock(settings: Settings) -> None:
    """By another clock than the workers' other deadlines have passed: raises ConfigError instead of telling them."""
    mine = in_force(settings.clock)
    for theirs in asyncio.run(read_clocks(settings)):
        if theirs != mine:
            raise ConfigError(f"[clock] {mine}: the workers' is another one; set theirs here, too: {theirs}")


def _is_decided(rounds: int, times: Collection[int]) -> bool:
    """Whether nothing differs or, after enough rounds, every difference has stayed or is new: the system at work."""
    return not times or (rounds >= STAYS_ROUNDS and all(count == 1 or count >= STAYS_ROUNDS for count in times))


def _read(refold: Refold, reader: TopicReader, letters: TopicReader, *, bar: bool) -> None:
    _leave_out(refold, letters)
    for record in reader.read(bar=bar):
        refold.take(record)
    refold.finish_reading()


def _leave_out(refold: Refold, letters: TopicReader) -> None:
    for letter in letters.read(bar=False):
        refold.leave_out(letter)


def _wait_for_workers(settings: Settings, wanted: dict[str, int], patience_seconds: float) -> None:
    """Wait until as much is published as was folded; raises Unavailable when it stands still before."""
    known: dict[str, int] = {}
    deadline = monotonic() + patience_seconds
    while True:
        published = asyncio.run(read_positions(settings, list(wanted)))
        behind = {label: position - published.get(label, 0) for label, position in wanted.items()}
        late = {label: records for label, records in behind.items() if records > 0}
        if not late:
            return
        if published != known:
            known, deadline = published, monotonic() + patience_seconds
        if monotonic() > deadline:
            label, records = next(iter(sorted(late.items())))
            raise Unavailable(f"{label} is {records} records behind its topics and stands still: is a worker running?")
        sleep(POLL_SECONDS)


def _differences(folded: Fields, published: Fields) -> Iterator[Difference]:
    for place in folded.keys() | published.keys():
        mine, theirs = folded.get(place), published.get(place)
        if not equal(place[1], mine, theirs):
            yield Difference(place, mine, theirs)


def print_verification(result: Verification, console: Console) -> None:
    """The differences as a table, and one line of result."""
    if result.differences:
        table = Table("partition", "section", "field", "facts say", "read model says")
        for difference in result.differences[:SHOWN]:
            partition, section, field = difference.place
            mine, theirs = (readable(section, value) for value in (difference.folded, difference.published))
            table.add_row(legible(partition) or "-", section, legible(field), legible(mine), legible(theirs))
        console.print(table)
        if len(result.differences) > SHOWN:
            console.print(f"... and {len(result.differences) - SHOWN} more")
    if result.torn:
        example, numbers = min(result.torn.items())
        console.print(
            f"{len(result.torn)} customers have events in several partitions, as {legible(example)} in "
            f"{', '.join(map(str, numbers))}: what belongs together is counted apart; key all records by customer_id"
        )
    verdict = f"{len(result.differences)} differences" if result.differences else "the read model is right"
    console.print(f"{result.records:,} records folded, {result.fields:,} fields compared: {verdict}")
