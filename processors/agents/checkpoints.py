"""Checkpoints: pending records are sent, the journal is written, and only then may source offsets be committed.

All of it happens under the lease alone. A partition is claimed first, by two kinds of records:

1. One in its changelog. That record's offset is the owner's epoch, so a later claim always has a higher one.
2. One in each partition of the alerts' topic. Readers there ignore whatever an older epoch sends after it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass

import msgspec
from aiokafka.errors import KafkaError, KafkaTimeoutError

from processors.agents.dead_letter_messages import DeadLetterFactory
from processors.agents.kafka_writer import KafkaWriter, OutgoingRecord
from processors.agents.metrics import WorkerMetrics
from processors.agents.ownership import Ownership
from processors.agents.partitions import OwnedPartition, OwnedPartitions
from schemas.alerts import Takeover, Transition
from schemas.errors import Reason

SEND_TIMEOUT_SECONDS = 120.0
"""A topic that accepts nothing for longer, while the lease holds, stops the worker."""
RETRY_SECONDS = 0.1
"""Pause before a record is sent again, or the lease is checked again."""

_encode_transition = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class OutputTopics:
    """Where a worker writes."""

    journal: str
    dead_letters: DeadLetterFactory
    alerts: str


class Checkpoints:
    """Makes partitions durable. A failure stops the worker: its successor repeats what was not acknowledged."""

    def __init__(
        self,
        partitions: OwnedPartitions,
        writer: KafkaWriter,
        topics: OutputTopics,
        metrics: WorkerMetrics,
        crash: Callable[[BaseException], Awaitable[None]],
        ownership: Ownership,
    ) -> None:
        self._partitions = partitions
        self._writer = writer
        self._topics = topics
        self._metrics = metrics
        self._crash = crash
        self._lease, self._logs = ownership

    def send_pending(self, partition: OwnedPartition, now_us: int) -> None:
        """Begin to send what waits for other topics: dead letters and alert transitions."""
        if partition.epoch is None or not self._lease.holds:
            return
        records = partition.outbox.drain()
        for transition in partition.ledger.drain_transitions():
            self._metrics.transition(transition, now_us, partition.live_since_us)
            records.append(self._alert_record(partition, transition))
        self._metrics.outcomes(partition.ledger.drain_outcomes())
        records += self._rejected(partition)
        if records:
            partition.outdate_mark()
            partition.outbox.in_flight.append(asyncio.create_task(self._guard(self._deliver(partition, records))))

    def _rejected(self, partition: OwnedPartition) -> Iterator[OutgoingRecord]:
        """Dead letters of accepted events that proved wrong. An orphan is forgotten, so it gets one letter only."""
        source = (self._partitions.topics[0], partition.number)
        rejected = partition.ledger.drain_rejected()
        partition.journal.forget(event.event_id for event, bad in rejected if bad.reason is Reason.ORPHAN)
        for event, bad in rejected:
            self._metrics.dead_letter(bad.reason)
            yield self._topics.dead_letters.of_event(source, event, bad, partition.counted_offsets())

    async def _deliver(self, partition: OwnedPartition, records: list[OutgoingRecord]) -> None:
        """Send records in order until all are acknowledged, or the partition has left. A retry sends all again.

        Raises KafkaError for a record that is refused, and after SEND_TIMEOUT_SECONDS under the lease.
        """
        async with partition.outbox.send_lock:
            began = self._lease.now()
            while self._partitions.owns(partition):
                if not self._lease.holds:
                    began = self._lease.now()
                elif await self._attempt(partition, records, last=self._lease.now() - began > SEND_TIMEOUT_SECONDS):
                    return
                await asyncio.sleep(RETRY_SECONDS)

    async def _attempt(self, partition: OwnedPartition, records: list[OutgoingRecord], *, last: bool) -> bool:
        """Whether the broker has acknowledged all. Raises KafkaError for permanent errors; on the last try for any."""
        try:
            partition.alert_log.acknowledge(await self._writer.send(records, self._topics.alerts))
        except KafkaError as error:
            if last or not _is_transient(error):
                raise
            return False
        return True

    async def flush(self, partition: OwnedPartition, now_us: int) -> None:
        """Make the partition durable up to its present position."""
        async with partition.outbox.flush_lock:
            if not self._may_write(partition):
                return
            if partition.epoch is None:
                await self._guard(self._claim(partition))
            self.send_pending(partition, now_us)
            partition.journal.expire(partition.ledger.drain_expired())
            partition.journal.compact_one(partition)
            if partition.epoch is not None and not partition.is_durable():
                await self._guard(self._write(partition))

    async def flush_all(self, now_us: int) -> None:
        """Make all partitions durable."""
        await asyncio.gather(*(self.flush(partition, now_us) for partition in self._partitions))

    async def claim_all(self) -> None:
        """Claim the partitions that are new."""
        await asyncio.gather(*(self._claim_new(partition) for partition in self._partitions if partition.epoch is None))

    async def _claim_new(self, partition: OwnedPartition) -> None:
        async with partition.outbox.flush_lock:
            if self._may_write(partition) and partition.epoch is None:
                await self._guard(self._claim(partition))

    def _may_write(self, partition: OwnedPartition) -> bool:
        return partition.recovered and self._partitions.owns(partition) and self._lease.holds

    async def _claim(self, partition: OwnedPartition) -> None:
        """Become the newest owner, unless the lease ends before the records are acknowledged."""
        if partition.outbox.pending_cut is not None:
            # A claim must not overtake records that an earlier checkpoint still has to write.
            await self._write(partition)
            return
        logs = await self._logs.identity()
        if logs is None:
            return
        offset = await self._writer.write(self._topics.journal, partition.number, [partition.journal.claim()])
        partition.note_changelog_offset(offset)
        epoch = offset + 1
        takeover = Takeover(partition.number, epoch, logs)
        record = OutgoingRecord(self._topics.alerts, takeover.key, None, takeover.headers)
        try:
            ends = await self._writer.send_everywhere(record)
        except KafkaError as error:
            if not _is_transient(error):
                raise
            return
        if self._may_write(partition):
            partition.claim(epoch, ends, self._lease.now())

    async def _write(self, partition: OwnedPartition) -> None:
        """Write the changelog records of a cut, once everything that was sent before it is acknowledged.

        In this order, because a successor that reads the cut takes everything before it for sent.
        """
        outbox = partition.outbox
        cut = outbox.pending_cut
        if cut is None:
            cut = partition.cut()
            outbox.begin_cut(cut)
        started = time.perf_counter()
        if not await self._acknowledged(outbox.before_cut) or not self._may_write(partition):
            return
        position, entries = cut
        offset = await self._writer.write(self._topics.journal, partition.number, entries)
        partition.mark_durable(position, offset)
        self._metrics.changelog_seconds.observe(time.perf_counter() - started)

    async def _acknowledged(self, sent: "Iterable[asyncio.Task[None]]") -> bool:
        """Wait for acknowledgements while the lease holds; True if all came. Raises what sending raised."""
        waiting = set(sent)
        while waiting and self._lease.holds:
            done, waiting = await asyncio.wait(waiting, timeout=RETRY_SECONDS)
            for task in done:
                task.result()
        return not waiting

    def _alert_record(self, partition: OwnedPartition, transition: Transition) -> OutgoingRecord:
        signed = msgspec.structs.replace(transition, partition=partition.number, epoch=partition.epoch)
        return OutgoingRecord(self._topics.alerts, signed.alert_id.encode(), _encode_transition(signed))

    async def _guard(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:
            await self._crash(error)
            raise


def _is_transient(error: KafkaError) -> bool:
    """Whether another attempt may succeed."""
    return bool(error.retriable) or isinstance(error, KafkaTimeoutError)
