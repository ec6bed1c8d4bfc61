"""`salespulse verify`: fold the topic again and compare the live read model with it, field by field.

The system runs on meanwhile, so a difference counts only when it stays: each round reads what has come since, lets time
pass to now, and keeps the differences that were there before with the same value published.
"""

import asyncio
from collections.abc import Iterator
from time import sleep
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from config.clock import Clock
from config.load_policy import load_policy
from config.settings import Settings
from processors.core.directory import directory_of
from processors.core.instants import DAY_US
from processors.core.ledger import Ledger
from processors.core.retention import Retention
from processors.ingest.clients import consumer
from processors.sinks.keys import Keys
from processors.sinks.redis_client import connect
from processors.tools.topic import TopicReader, TopicRecord
from schemas.codec import decode_event, decode_rep
from schemas.errors import BadRecord
from schemas.views import SECTIONS, OpenRequest, Partial, Section, Segment, Standing

ROUNDS = 5
ROUND_PAUSE_SECONDS = 2.0
SHOWN = 50
COMPARED: tuple[Section, ...] = tuple(section for section in SECTIONS if section != "quality")
TYPES: dict[Section, type] = {
    "partials": Partial,
    "open": OpenRequest,
    "standing": Standing,
    "segments": Segment,
}

Place = tuple[str, Section, str]
"""Partition, section and field."""
Fields = dict[Place, bytes]


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


class Refold:
    """The topics folded again, partition by partition."""

    def __init__(self, settings: Settings) -> None:
        self._policy = load_policy(settings.policy.path)
        self._settings = settings
        self._directory = directory_of(self._policy)
        self._ledgers: dict[str, Ledger] = {}
        self._dead: set[tuple[str, str, str]] = set()
        self.records = 0

    def exclude(self, letter: TopicRecord) -> None:
        """Leave out what the worker has put into the dead letters: it may depend on when it came (S28)."""
        headers = letter.headers
        self._dead.add((headers.get("topic", ""), headers.get("partition", ""), headers.get("offset", "")))

    def take(self, record: TopicRecord) -> None:
        """Apply a record."""
        self.records += 1
        if record.value is None or (record.topic, str(record.partition), str(record.offset)) in self._dead:
            return
        try:
            if record.topic == self._settings.kafka.reps_topic:
                self._take_rep(record.value)
            else:
                self.ledger(f"{record.topic}/{record.partition}").apply(decode_event(record.value))
        except BadRecord:
            return

    def _take_rep(self, value: bytes) -> None:
        rep = decode_rep(value)
        if self._directory.put(rep):
            for ledger in self._ledgers.values():
                ledger.reps_changed([rep.rep_id])

    def ledger(self, partition: str) -> Ledger:
        """The ledger of a source partition."""
        ledger = self._ledgers.get(partition)
        if ledger is None:
            ledger = self._ledgers[partition] = Ledger(self._policy, self._directory)
        return ledger

    def fields(self, now_us: int) -> Fields:
        """Every field of the read model, as the facts have it at an instant."""
        retention = self._settings.retention
        windows_us = (retention.windows_days + retention.slack_days) * DAY_US
        found: Fields = {}
        for partition, ledger in self._ledgers.items():
            ledger.retention = Retention(windows_us, retention.roots_days * DAY_US)
            ledger.advance(now_us)
            while ledger.retention.is_sweeping:
                ledger.advance(now_us)
            everything = ledger.everything()
            for section in COMPARED:
                for field, value in everything.puts.get(section, {}).items():
                    found[partition, section, field] = value
        return found


def verify(settings: Settings, rounds: int = ROUNDS) -> Verification:
    """Compare until the differences are none or have stayed; raises Unavailable, UsageError."""
    kafka, clock = settings.kafka, Clock(settings.clock)
    refold, fields = Refold(settings), 0
    stayed: dict[Place, Difference] | None = None
    with consumer(kafka) as client, consumer(kafka) as dead_client:
        reader = TopicReader(client, kafka, (kafka.reps_topic, *kafka.events_topics))
        dead = TopicReader(dead_client, kafka, (kafka.dead_letters_topic,))
        for number in range(rounds):
            if number:
                sleep(ROUND_PAUSE_SECONDS)
            published = asyncio.run(_published(settings))
            for letter in dead.read(bar=False):
                refold.exclude(letter)
            for record in reader.read(bar=number == 0):
                refold.take(record)
            folded = refold.fields(clock.now_us())
            fields = len(folded)
            differences = {d.place: d for d in _differences(folded, published)}
            stayed = differences if stayed is None else _same(stayed, differences)
            if not stayed:
                break
    return Verification(refold.records, fields, sorted((stayed or {}).values()))


def _same(before: dict[Place, Difference], now: dict[Place, Difference]) -> dict[Place, Difference]:
    """The differences that were there before: a field that keeps moving is the system at work, not an error."""
    return {place: now[place] for place in before.keys() & now.keys()}


def _differences(folded: Fields, published: Fields) -> Iterator[Difference]:
    for place in folded.keys() | published.keys():
        mine, theirs = folded.get(place), published.get(place)
        if mine != theirs and not _equal(place[1], mine, theirs):
            yield Difference(place, mine, theirs)


def _equal(section: Section, mine: bytes | None, theirs: bytes | None) -> bool:
    """Equal values may differ in the order of their keys."""
    if mine is None or theirs is None:
        return False
    kind = TYPES[section]
    try:
        return bool(msgspec.msgpack.decode(mine, type=kind) == msgspec.msgpack.decode(theirs, type=kind))
    except msgspec.MsgspecError:
        return False


async def _published(settings: Settings) -> Fields:
    connection, keys = connect(settings.redis), Keys(settings.redis.prefix)
    found: Fields = {}
    try:
        for partition in await connection.members(keys.partitions):
            for section in COMPARED:
                async for piece in connection.slices(keys.section(partition, section), 1000):
                    for field, value in piece.items():
                        found[partition, section, field.decode()] = value
    finally:
        await connection.close()
    return found


def print_verification(result: Verification, console: Console) -> None:
    """The differences as a table, and one line of result."""
    if result.differences:
        table = Table("partition", "section", "field", "facts say", "read model says")
        for difference in result.differences[:SHOWN]:
            partition, section, field = difference.place
            mine, theirs = (_readable(section, value) for value in (difference.folded, difference.published))
            table.add_row(partition, section, escape(field), mine, theirs)
        console.print(table)
        if len(result.differences) > SHOWN:
            console.print(f"... and {len(result.differences) - SHOWN} more")
    verdict = f"{len(result.differences)} differences" if result.differences else "the read model is right"
    console.print(f"{result.records:,} records folded, {result.fields:,} fields compared: {verdict}")


def _readable(section: Section, value: bytes | None) -> str:
    if value is None:
        return "-"
    try:
        return escape(msgspec.json.encode(msgspec.msgpack.decode(value, type=TYPES[section])).decode())
    except msgspec.MsgspecError:
        return escape(repr(value))
