"""Shared by tests of the worker: records, a partition with a real ledger, stand-ins for the broker and for Redis."""

# ruff: noqa: ARG002 -- stand-ins take what the real ones take

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from faust.types import TP
from prometheus_client import CollectorRegistry

from processors.agents.dead_letter_messages import DeadLetterFactory
from processors.agents.fetching import Fetched
from processors.agents.intake import Intake
from processors.agents.kafka_writer import EndOffsets, OutgoingRecord
from processors.agents.lease import Lease
from processors.agents.metrics import WorkerMetrics
from processors.agents.ownership import Ownership
from processors.agents.partitions import OwnedPartition, OwnedPartitions
from processors.core.ledger.ledger import Ledger
from processors.core.state.directory import Directory, directory_of
from processors.core.time.instants import instant_us
from processors.kafka.record_batches import OnUnreadable
from schemas import codec
from schemas.errors import Unavailable
from schemas.events import Event, RepUpdated
from schemas.policy import DEFAULT_POLICY
from schemas.views import Changes
from tests.story import HOUR, at

TOPIC = "crm.events"
BATCH_RECORDS = 4000
SOURCE = TP(TOPIC, 0)
CLOCK_US = instant_us(at(2 * HOUR))
"""Two hours into the story: nothing in it is too early."""
DIRECTORY = directory_of(DEFAULT_POLICY)


class Record(NamedTuple):
    """A fetched record."""

    offset: int
    value: bytes | None
    key: bytes | None = b"c1"
    timestamp: int | None = 1_772_438_400_000


class RecordBatch(list[Record]):
    """A record batch."""

    @property
    def base_offset(self) -> int:
        return self[0].offset if self else 0

    @property
    def opened_bytes(self) -> int:
        return sum(len(record.value or b"") for record in self)

    def chunks(self, report: OnUnreadable) -> Iterator[list[Record]]:
        assert callable(report)
        return iter([list(self)] if self else [])


def batch(values: Iterable[Event | bytes | None], start: int = 0) -> Fetched:
    """Records from an offset on, as they come from one partition."""
    raw = [value if isinstance(value, bytes | None) else codec.encode(value) for value in values]
    records = RecordBatch(Record(start + n, value) for n, value in enumerate(raw))
    return Fetched([records], start, start + len(raw))


def new_partitions(topics: tuple[str, ...] = (TOPIC,), directory: Directory = DIRECTORY) -> OwnedPartitions:
    """Partitions with real ledgers, whose writers are numbered."""
    writers = iter(range(1, 10_000))
    return OwnedPartitions(topics, lambda: Ledger(DEFAULT_POLICY, directory), lambda: next(writers))


def open_partition(partitions: OwnedPartitions, number: int = 0) -> OwnedPartition:
    """A recovered partition, assigned alone."""
    partitions.assign([number], generation=1)
    partition = partitions.get(number)
    assert partition is not None
    partition.begin(CLOCK_US)
    partition.epoch = 1
    return partition


class FakeLogs:
    """Stands for what the broker says of the logs."""

    def __init__(self) -> None:
        self.ids: str | None = "ids"
        self.ends: dict[int, int | None] = {}

    async def identity(self) -> str | None:
        return self.ids

    async def end(self, number: int) -> int | None:
        return self.ends.get(number, 0)


class Renewed(Lease):
    """A lease that holds, and is renewed whenever somebody asks, until the coordinator is silent."""

    def __init__(self) -> None:
        super().__init__(6.0)
        self.silent = False
        self.renew(self.now())

    @property
    def holds(self) -> bool:
        return not self.silent

    def confirmed_after(self, instant: float) -> bool:
        return self.holds


class IntakeHarness:
    """An intake over one open partition, with what it would stop for."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = WorkerMetrics(self.registry)
        self.partitions = new_partitions()
        self.partition = open_partition(self.partitions)
        self.crashed: list[BaseException] = []
        self.first_offset = 0
        self.checks = 0
        self.clock_us = CLOCK_US
        self.lease, self.logs = Renewed(), FakeLogs()
        self.ownership = Ownership(self.lease, self.logs)
        self.make_durabled = 0
        letters = DeadLetterFactory("crm.dead-letters", "salespulse")
        self.intake = Intake(self.partitions, letters, self.metrics, self, max_records=BATCH_RECORDS)

    async def earliest(self, tp: TP) -> int:
        return self.first_offset

    async def crash(self, reason: BaseException) -> None:
        self.crashed.append(reason)

    async def check_topics(self) -> None:
        self.checks += 1

    def now_us(self) -> int:
        return self.clock_us

    async def make_durable(self) -> None:
        self.partition.outbox.unsent.clear()
        self.make_durabled += 1

    def apply(self, *values: Event | bytes | None, start: int | None = None) -> None:
        first = self.partition.next_offsets.get(TOPIC, 0) if start is None else start
        asyncio.run(self.intake.apply(SOURCE, batch(values, first)))

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


class Sent:
    """Stands for the producer: keeps what is sent, in order, and may fail."""

    def __init__(self) -> None:
        self.log: list[tuple[str, Any]] = []
        self.offset = 0
        self.attempts = 0
        self.fails: Callable[[], BaseException | None] = lambda: None

    async def send(self, messages: Iterable[OutgoingRecord], ends_of: str) -> EndOffsets:
        await self._pass()
        self.log += [(message.topic, message) for message in messages]
        return {0: len(self.on(ends_of))}

    async def send_everywhere(self, message: OutgoingRecord) -> EndOffsets:
        return await self.send([message], message.topic)

    async def write(self, topic: str, partition: int, entries: Iterable[tuple[bytes, bytes | None]]) -> int:
        await self._pass()
        written = list(entries)
        self.log += [(topic, entry) for entry in written]
        self.offset += len(written)
        return self.offset - 1

    async def _pass(self) -> None:
        self.attempts += 1
        await asyncio.sleep(0)
        failure = self.fails()
        if failure is not None:
            raise failure

    def on(self, topic: str) -> list[Any]:
        return [what for name, what in self.log if name == topic]


def _together(portions: Iterable[Changes]) -> Changes:
    whole = Changes({}, {})
    for portion in portions:
        for section, puts in portion.puts.items():
            whole.puts.setdefault(section, {}).update(puts)
        for section, deletes in portion.deletes.items():
            whole.deletes.setdefault(section, []).extend(deletes)
    return whole


class MemoryReadModel:
    """Stands for the read model: keeps what is published, and may be away, emptied or newer."""

    def __init__(self) -> None:
        self.up = True
        self.asked = 0
        self.fences: dict[str, int] = {}
        self.logs: dict[str, str] = {}
        self.announced: dict[str, int] = {}
        self.epochs: dict[str, int] = {}
        self.owners: dict[str, int] = {}
        self.known: set[str] = set()
        self.published: list[tuple[str, int, Changes, bool]] = []
        self.reps: dict[str, int] = {}
        self.refused: set[str] = set()
        """Partitions that are not written."""

    def empty(self) -> None:
        self.fences.clear()
        self.announced.clear()
        self.epochs.clear()
        self.known.clear()
        self.published.clear()
        self.reps.clear()

    def wholes(self) -> list[str]:
        return [partition for partition, _, _, whole in self.published if whole]

    async def publish_portions(self, about: tuple[str, int, int], portions: Iterable[Changes], whole: bool) -> str:
        self._answer()
        partition, offset, _ = about
        if partition in self.refused:
            raise Unavailable("Redis refuses")
        if partition not in self.epochs:
            return "empty"
        if self.epochs[partition] > self.owners[partition]:
            return "former"
        changes = _together(portions)
        if self.fences.get(partition, -1) > offset:
            return "stale"
        if not whole and partition not in self.known:
            return "empty"
        self.known.add(partition)
        self.fences[partition] = offset
        self.published.append((partition, offset, changes, whole))
        return "accepted"

    async def announce(self, partition: str, epoch: int, logs: str) -> str:
        self._answer()
        if epoch < self.epochs.get(partition, 0):
            return "former"
        self.announced[partition] = self.owners[partition] = epoch
        return "accepted"

    async def claim(self, partition: str) -> str:
        self._answer()
        if partition not in self.announced:
            return "empty"
        self.epochs[partition] = self.announced.pop(partition)
        return "accepted"

    async def fence(self, partition: str) -> tuple[int, str] | None:
        self._answer()
        offset = self.fences.get(partition)
        return None if offset is None else (offset, self.logs.get(partition, ""))

    async def reset(self, partition: str) -> str:
        self._answer()
        self.fences.pop(partition)
        return "accepted"

    async def reset_reps(self) -> None:
        self._answer()
        self.reps.clear()

    async def rep_ids(self) -> set[str]:
        self._answer()
        return set(self.reps)

    async def put_reps(self, reps: Iterable[tuple[RepUpdated, int]]) -> int:
        self._answer()
        self.reps |= {rep.rep_id: offset for rep, offset in reps}
        return len(self.reps)

    async def remove_rep(self, rep_id: str, offset: int) -> int:
        self._answer()
        return 0 if self.reps.pop(rep_id, None) is None else 1

    def _answer(self) -> None:
        self.asked += 1
        if not self.up:
            raise Unavailable("Redis at redis://nowhere does not answer: refused")
