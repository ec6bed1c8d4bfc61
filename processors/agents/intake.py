"""The intake: decodes and applies fetched batches one by one, and notes their events for the journal.

A bad record becomes a dead letter, and the stream goes on. Anything unexpected stops the worker: Faust would
acknowledge a batch whose processing failed, and its events would be lost silently.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterable, Sequence
from typing import Any, Protocol, get_args

from aiokafka.errors import KafkaError
from faust.types import TP

from processors.agents.dead_letter_messages import DeadLetterFactory
from processors.agents.fetching import Fetched, FetchedReader, Record
from processors.agents.gc_control import state_grows
from processors.agents.kafka_writer import OutgoingRecord
from processors.agents.metrics import WorkerMetrics
from processors.agents.partitions import OwnedPartition, OwnedPartitions
from processors.core.ledger.batch import MisplacedMessage, RejectedMessage, apply_messages
from processors.core.ledger.data_quality import day_of
from processors.core.time.instants import DAY_US
from processors.kafka.connection import first_line
from processors.kafka.record_frames import UnreadableRange
from schemas.errors import Reason, SalespulseError
from schemas.events import Event

logger = logging.getLogger(__name__)

EVENT_TYPES: dict[type, str] = {kind: str(kind.__struct_config__.tag) for kind in get_args(Event)}
"""Event class to its type on the wire."""
HARMLESS = frozenset({Reason.DUPLICATE, Reason.TOMBSTONE})
"""Nothing is lost with them, so they are counted and get no dead letter."""
MAX_KEY_SHOWN_BYTES = 64
"""A wrong key in an example is cut to this length."""


MAX_DEAD_LETTER_BYTES = 16 * 1024 * 1024
"""Dead letters that may wait in memory. A compressed batch of bad records can hold a hundred times its own size."""


class LostRecords(SalespulseError):
    """Records were skipped. To go on would publish wrong numbers."""


class IntakeCallbacks(Protocol):
    """What the intake needs of the app."""

    async def earliest(self, tp: TP) -> int:
        """The first offset that a partition still holds."""

    async def crash(self, reason: BaseException) -> None:
        """Stop the worker."""

    async def check_topics(self) -> None:
        """Raise TopicChanged if a topic is no longer the one that the state was made from."""

    def now_us(self) -> int:
        """Microseconds since 1970."""

    async def make_durable(self) -> None:
        """Make everything durable."""


class Intake:
    """The worker's only agent."""

    def __init__(
        self,
        partitions: OwnedPartitions,
        dead_letters: DeadLetterFactory,
        metrics: WorkerMetrics,
        callbacks: IntakeCallbacks,
        max_records: int,
    ) -> None:
        """`max_records`: records applied in one go, during which nothing else in the worker runs."""
        self._partitions = partitions
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._callbacks = callbacks
        self._max_records = max_records
        self._letters_bytes = 0

    async def run(self, events: AsyncIterable[Any]) -> None:
        """Apply batches until the stream ends. `events`: Faust events whose value is a Fetched."""
        try:
            async for event in events:
                await self.apply(event.message.tp, event.value)
                # Let timers, flushes and the next fetch run.
                await asyncio.sleep(0)
        except Exception as error:
            await self._callbacks.crash(error)
            raise

    async def apply(self, tp: TP, fetched: Fetched) -> None:
        """Apply a batch, unless its partition has left since. Raises LostRecords."""
        partition = self._partitions.get(tp.partition)
        if partition is None or not partition.recovered:
            return
        expected = partition.next_offsets.get(tp.topic)
        if expected is not None and fetched.start > expected:
            await self._check_gap(tp, expected, fetched.start)
        if expected is not None and fetched.start < expected:
            await self._check_repetition(tp, expected, fetched.start)
        reader = FetchedReader(fetched, expected or 0)
        while self._apply_portion(partition, tp, reader):
            await self._flush_letters_if_many()
            # Let timers run within a large batch, too. Meanwhile, the partition may leave.
            await asyncio.sleep(0)
            if not self._partitions.owns(partition):
                return
        partition.mark_applied(tp.topic, fetched.end)

    async def _flush_letters_if_many(self) -> None:
        """If very many dead letters wait, send them before going on."""
        if self._letters_bytes > MAX_DEAD_LETTER_BYTES:
            self._letters_bytes = 0
            await self._callbacks.make_durable()

    def _apply_portion(self, partition: OwnedPartition, tp: TP, reader: FetchedReader) -> bool:
        """Apply the next records; False if there are no more."""
        started = time.perf_counter()
        # Events are checked against the present: a scaled clock has gone far since the last timer.
        partition.ledger.set_clock(self._callbacks.now_us())
        journal = partition.journal
        with state_grows():
            taken = apply_messages(
                partition.ledger, reader.portion(self._max_records), journal.pending, journal.pending_ids
            )
        for kind, count in taken.kinds.items():
            self._metrics.events(EVENT_TYPES[kind], "applied", count)
        for refused in taken.refused:
            self._refuse(partition, tp, refused)
        if taken.misplaced:
            self._note_misplaced(partition, tp, taken.misplaced)
        if taken.last is not None:
            partition.mark_applied(tp.topic, taken.last.offset + 1)
            self._metrics.batch(time.perf_counter() - started)
        for unreadable in reader.drain_unreadable():
            self._refuse_batch(partition, tp, unreadable)
        return not reader.is_over

    async def _check_gap(self, tp: TP, expected: int, start: int) -> None:
        """Records are missing: count those that the topic no longer has. If it has them, raise LostRecords.

        A restart then reads them again.
        """
        if await self._callbacks.earliest(tp) < start:
            raise LostRecords(f"{tp.topic}/{tp.partition}: offset {expected} was to come next, but {start} came")
        logger.error("%s/%d: offsets %d to %d left the topic before they were read", *tp, expected, start - 1)
        self._metrics.lost.inc(start - expected)

    async def _check_repetition(self, tp: TP, expected: int, start: int) -> None:
        """Applied records come again: after a rebalance, or because another log has taken this one's place."""
        try:
            await self._callbacks.check_topics()
        except (KafkaError, OSError) as error:
            # The broker does not answer now. The loop that watches the topics asks again.
            logger.warning("%s/%d: from offset %d to %d once more (%s)", *tp, start, expected - 1, first_line(error))

    def _refuse(self, partition: OwnedPartition, tp: TP, refused: RejectedMessage[Record]) -> None:
        """Count a record that has no effect. Unless it is harmless, it gets a dead letter."""
        record, bad, kind = refused
        if bad.reason not in HARMLESS:
            letter = self._dead_letters.of_record((tp.topic, tp.partition), record, bad, partition.base(tp.topic))
            self._send(partition, letter)
            self._metrics.dead_letter(bad.reason)
        partition.ledger.count_flaw(bad.reason, day_of(record.timestamp))
        self._metrics.events("none" if kind is None else EVENT_TYPES[kind], bad.reason, 1)

    def _note_misplaced(self, partition: OwnedPartition, tp: TP, misplaced: Sequence[MisplacedMessage[Record]]) -> None:
        """Count records whose key is not their customer: those of one customer may be in several partitions, apart."""
        for record, _ in misplaced:
            partition.ledger.count_flaw(Reason.KEY_MISMATCH, day_of(record.timestamp))
        record, customer_id = misplaced[-1]
        key = "without a key" if record.key is None else f"with the key {legible(record.key)}"
        example = f"customer {customer_id!r} {key} in {tp.topic}/{tp.partition} at offset {record.offset}"
        partition.ledger.data_quality.show(Reason.KEY_MISMATCH, example)
        self._metrics.key_mismatches.inc(len(misplaced))

    def _refuse_batch(self, partition: OwnedPartition, tp: TP, unreadable: UnreadableRange) -> None:
        """Offsets that cannot be read get one dead letter together."""
        now_us = self._callbacks.now_us()
        letter = self._dead_letters.of_batch(
            (tp.topic, tp.partition), unreadable, now_us // 1000, partition.base(tp.topic)
        )
        self._send(partition, letter)
        self._metrics.unreadable(tp.topic, unreadable.last - unreadable.first + 1)
        partition.ledger.count_flaw(Reason.UNREADABLE_BATCH, now_us // DAY_US)
        partition.mark_applied(tp.topic, unreadable.last + 1)
        logger.error("%s/%d: offsets %d to %d cannot be read: %s", *tp, *unreadable[:3])

    def _send(self, partition: OwnedPartition, letter: OutgoingRecord) -> None:
        partition.outbox.add(letter)
        self._letters_bytes += len(letter.value or b"")


def legible(key: bytes) -> str:
    """A key as text, cut to a length that fits into a line."""
    return repr(key[:MAX_KEY_SHOWN_BYTES].decode("utf-8", "replace")) + (
        "..." if len(key) > MAX_KEY_SHOWN_BYTES else ""
    )
