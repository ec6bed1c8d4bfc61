"""The intake: one batch of fetched records at a time, decoded, applied and noted for the journal.

One bad record is a dead letter, and the stream goes on. Anything unexpected stops the worker: Faust would acknowledge a
batch whose processing failed, and its events would silently be gone.
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
from processors.core.batches import Misplaced, Refused, apply_messages
from processors.core.instants import DAY_US
from processors.core.quality import day_of
from processors.kafka.connection import first_line
from processors.kafka.record_frames import UnreadableRange
from schemas.errors import Reason, SalespulseError
from schemas.events import Event

logger = logging.getLogger(__name__)

EVENT_TYPES: dict[type, str] = {kind: str(kind.__struct_config__.tag) for kind in get_args(Event)}
"""Event class to its word on the wire."""
HARMLESS = frozenset({Reason.DUPLICATE, Reason.TOMBSTONE})
"""Nothing is lost with them: they are counted, and are no dead letters."""
MAX_KEY_SHOWN_BYTES = 64
"""Bytes of a wrong key in an example."""


MAX_DEAD_LETTER_BYTES = 16 * 1024 * 1024
"""So much of dead letters may wait in memory: a compressed batch of bad records can hold a hundred times its size."""


class LostRecords(SalespulseError):
    """Records were skipped: going on would publish wrong numbers."""


class IntakeCallbacks(Protocol):
    """What the intake asks of the app."""

    async def earliest(self, tp: TP) -> int:
        """The first offset that a partition still holds."""

    async def crash(self, reason: BaseException) -> None:
        """Stop the worker."""

    async def check_topics(self) -> None:
        """Raise TopicChanged when a topic is not the one that the state was made from."""

    def now_us(self) -> int:
        """What the clock says."""

    async def settle(self) -> None:
        """Make everything durable."""


class Intake:
    """The worker's one agent."""

    def __init__(
        self,
        parts: OwnedPartitions,
        dead_letters: DeadLetterFactory,
        metrics: WorkerMetrics,
        broker: IntakeCallbacks,
        most: int,
    ) -> None:
        """`most`: records that are applied in one go; meanwhile nothing else has its turn."""
        self._parts = parts
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._broker = broker
        self._most = most
        self._letters_bytes = 0

    async def run(self, events: AsyncIterable[Any]) -> None:
        """Take batches until the stream ends. `events`: Faust events whose value is a Fetched."""
        try:
            async for event in events:
                await self.take(event.message.tp, event.value)
                # Timers, flushes and the next fetch have their turn.
                await asyncio.sleep(0)
        except Exception as error:
            await self._broker.crash(error)
            raise

    async def take(self, tp: TP, fetched: Fetched) -> None:
        """Apply a batch, unless its partition has left meanwhile. Raises LostRecords."""
        part = self._parts.get(tp.partition)
        if part is None or not part.recovered:
            return
        expected = part.next_offsets.get(tp.topic)
        if expected is not None and fetched.start > expected:
            await self._explain_gap(tp, expected, fetched.start)
        if expected is not None and fetched.start < expected:
            await self._explain_repetition(tp, expected, fetched.start)
        reading = FetchedReader(fetched, expected or 0)
        while self._take_some(part, tp, reading):
            await self._send_letters()
            # Timers have their turn within a large batch, too; and meanwhile the part may leave.
            await asyncio.sleep(0)
            if not self._parts.owns(part):
                return
        part.next_offsets[tp.topic] = max(expected or 0, fetched.end)

    async def _send_letters(self) -> None:
        """Wait until dead letters are sent when there are very many."""
        if self._letters_bytes > MAX_DEAD_LETTER_BYTES:
            self._letters_bytes = 0
            await self._broker.settle()

    def _take_some(self, part: OwnedPartition, tp: TP, reading: FetchedReader) -> bool:
        """Apply the next records; false when there are no more."""
        started = time.perf_counter()
        # What is in the future is so by the clock of now: a scaled one has gone far since the last timer.
        part.ledger.set_clock(self._broker.now_us())
        journal = part.journal
        with state_grows():
            taken = apply_messages(part.ledger, reading.portion(self._most), journal.pending, journal.pending_ids)
        for kind, count in taken.kinds.items():
            self._metrics.events(EVENT_TYPES[kind], "applied", count)
        for refused in taken.refused:
            self._refuse(part, tp, refused)
        if taken.misplaced:
            self._note_misplaced(part, tp, taken.misplaced)
        if taken.last is not None:
            part.next_offsets[tp.topic] = taken.last.offset + 1
            self._metrics.batch(time.perf_counter() - started)
        for stretch in reading.take_unreadable():
            self._refuse_batch(part, tp, stretch)
        return not reading.is_over

    async def _explain_gap(self, tp: TP, expected: int, start: int) -> None:
        """Records that the topic no longer holds are lost, which is loud; otherwise, a restart reads them again."""
        if await self._broker.earliest(tp) < start:
            raise LostRecords(f"{tp.topic}/{tp.partition}: offset {expected} was to come next, but {start} came")
        logger.error("%s/%d: offsets %d to %d left the topic before they were read", *tp, expected, start - 1)
        self._metrics.lost.inc(start - expected)

    async def _explain_repetition(self, tp: TP, expected: int, start: int) -> None:
        """What was applied comes again after a rebalance; or another log has come in the place of this one."""
        try:
            await self._broker.check_topics()
        except (KafkaError, OSError) as error:
            # It cannot be asked just now. Whoever watches the topics all the time asks again.
            logger.warning("%s/%d: from offset %d to %d once more (%s)", *tp, start, expected - 1, first_line(error))

    def _refuse(self, part: OwnedPartition, tp: TP, refused: Refused[Record]) -> None:
        """What did not count is noted, and is a dead letter unless it is a duplicate or a tombstone."""
        record, bad, kind = refused
        if bad.reason not in HARMLESS:
            letter = self._dead_letters.of_record((tp.topic, tp.partition), record, bad, part.base(tp.topic))
            self._send(part, letter)
            self._metrics.dead_letter(bad.reason)
        part.ledger.note(bad.reason, day_of(record.timestamp))
        self._metrics.events("none" if kind is None else EVENT_TYPES[kind], bad.reason, 1)

    def _note_misplaced(self, part: OwnedPartition, tp: TP, misplaced: Sequence[Misplaced[Record]]) -> None:
        """Records with another key than their customer: one customer's may be in several partitions, counted apart."""
        for record, _ in misplaced:
            part.ledger.note(Reason.KEY_MISMATCH, day_of(record.timestamp))
        record, customer_id = misplaced[-1]
        key = "without a key" if record.key is None else f"with the key {legible(record.key)}"
        example = f"customer {customer_id!r} {key} in {tp.topic}/{tp.partition} at offset {record.offset}"
        part.ledger.data_quality.show(Reason.KEY_MISMATCH, example)
        self._metrics.key_mismatches.inc(len(misplaced))

    def _refuse_batch(self, part: OwnedPartition, tp: TP, stretch: UnreadableRange) -> None:
        """Offsets that cannot be read are one dead letter together."""
        now_us = self._broker.now_us()
        letter = self._dead_letters.of_batch((tp.topic, tp.partition), stretch, now_us // 1000, part.base(tp.topic))
        self._send(part, letter)
        self._metrics.unreadable(tp.topic, stretch.last - stretch.first + 1)
        part.ledger.note(Reason.UNREADABLE_BATCH, now_us // DAY_US)
        part.next_offsets[tp.topic] = max(part.next_offsets.get(tp.topic, 0), stretch.last + 1)
        logger.error("%s/%d: offsets %d to %d cannot be read: %s", *tp, *stretch[:3])

    def _send(self, part: OwnedPartition, letter: OutgoingRecord) -> None:
        part.unsent.append(letter)
        self._letters_bytes += len(letter.value or b"")


def legible(key: bytes) -> str:
    """A key for people, cut to a length that a line can hold."""
    return repr(key[:MAX_KEY_SHOWN_BYTES].decode("utf-8", "replace")) + (
        "..." if len(key) > MAX_KEY_SHOWN_BYTES else ""
    )
