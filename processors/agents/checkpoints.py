"""Checkpoints: what a part has to say is sent, its journal is written, and only then are source offsets committed.

All of it happens under the lease alone. A part is claimed first: by a record in its changelog, whose offset is the
owner's epoch, and by a record in each partition of the alerts' topic, after which older owners are not heard there.
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
RETRY_SECONDS = 0.1
"""How soon a message goes out after the lease was renewed, or is tried again."""

_encode_transition = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class OutputTopics:
    """Where a worker writes."""

    journal: str
    dead_letters: DeadLetterFactory
    alerts: str


class Checkpoints:
    """Makes parts durable. A failure stops the worker: what is not acknowledged is done again by its successor."""

    def __init__(
        self,
        parts: OwnedPartitions,
        outgoing: KafkaWriter,
        topics: OutputTopics,
        metrics: WorkerMetrics,
        crash: Callable[[BaseException], Awaitable[None]],
        ownership: Ownership,
    ) -> None:
        self._parts = parts
        self._outgoing = outgoing
        self._topics = topics
        self._metrics = metrics
        self._crash = crash
        self._lease, self._logs = ownership

    def say(self, part: OwnedPartition, now_us: int) -> None:
        """Send what the part has to say to other topics: dead letters and alert transitions."""
        if part.epoch is None or not self._lease.holds:
            return
        messages, part.unsent = part.unsent, []
        for transition in part.ledger.take_transitions():
            self._metrics.transition(transition, now_us, part.watched_us)
            messages.append(self._alert(part, transition))
        self._metrics.outcomes(part.ledger.take_outcomes())
        messages += self._rejected(part)
        if messages:
            part.spoken = True
            part.outbox.append(asyncio.create_task(self._guard(self._deliver(part, messages))))

    def _rejected(self, part: OwnedPartition) -> Iterator[OutgoingRecord]:
        """The dead letters of accepted facts that turned out bad. An orphan is forgotten: it is said once."""
        source = (self._parts.topics[0], part.number)
        rejected = part.ledger.take_rejected()
        part.journal.forget(event.event_id for event, bad in rejected if bad.reason is Reason.ORPHAN)
        for event, bad in rejected:
            self._metrics.dead_letter(bad.reason)
            yield self._topics.dead_letters.of_event(source, event, bad, part.counted_offsets())

    async def _deliver(self, part: OwnedPartition, messages: list[OutgoingRecord]) -> None:
        """Send messages in their order, all again after a failure, until they are acknowledged or the part has left.

        Raises KafkaError for what is refused, and when the topic takes nothing for PATIENCE_SECONDS under the lease.
        """
        async with part.sending:
            began = self._lease.now()
            while self._parts.owns(part):
                if not self._lease.holds:
                    began = self._lease.now()
                elif await self._attempt(part, messages, last=self._lease.now() - began > SEND_TIMEOUT_SECONDS):
                    return
                await asyncio.sleep(RETRY_SECONDS)

    async def _attempt(self, part: OwnedPartition, messages: list[OutgoingRecord], *, last: bool) -> bool:
        """Whether the broker has taken all of them. Raises KafkaError; if this is not the last one, only for good."""
        try:
            part.former.acknowledge(await self._outgoing.send(messages, self._topics.alerts))
        except KafkaError as error:
            if last or not _passes(error):
                raise
            return False
        return True

    async def flush(self, part: OwnedPartition, now_us: int) -> None:
        """Make the part durable up to where it is now."""
        async with part.flushing:
            if not self._may_write(part):
                return
            if part.epoch is None:
                await self._guard(self._claim(part))
            self.say(part, now_us)
            part.journal.expire(part.ledger.take_expired())
            part.journal.wear(part)
            if part.epoch is not None and not part.is_durable():
                await self._guard(self._write(part))

    async def flush_all(self, now_us: int) -> None:
        """Make all parts durable."""
        await asyncio.gather(*(self.flush(part, now_us) for part in self._parts))

    async def claim_all(self) -> None:
        """Claim the parts that are new."""
        await asyncio.gather(*(self._claim_new(part) for part in self._parts if part.epoch is None))

    async def _claim_new(self, part: OwnedPartition) -> None:
        async with part.flushing:
            if self._may_write(part) and part.epoch is None:
                await self._guard(self._claim(part))

    def _may_write(self, part: OwnedPartition) -> bool:
        return part.recovered and self._parts.owns(part) and self._lease.holds

    async def _claim(self, part: OwnedPartition) -> None:
        """Become the newest owner, unless the lease has ended by the time that the changelog has the record."""
        if part.owed is not None:
            await self._write(part)
            return
        logs = await self._logs.identity()
        if logs is None:
            return
        offset = await self._outgoing.write(self._topics.journal, part.number, [part.journal.claim()])
        part.changelog_offset = max(part.changelog_offset, offset)
        epoch = offset + 1
        takeover = Takeover(part.number, epoch, logs)
        message = OutgoingRecord(self._topics.alerts, takeover.key, None, takeover.headers)
        try:
            ends = await self._outgoing.send_everywhere(message)
        except KafkaError as error:
            if not _passes(error):
                raise
            return
        if self._may_write(part):
            part.former.acknowledge(ends)
            part.former.claimed_at = self._lease.now()
            part.epoch = epoch
            # The next mark says from where a successor has to look, even if nothing else happens.
            part.spoken = True

    async def _write(self, part: OwnedPartition) -> None:
        """Write the changelog records of a cut, once everything that was sent before it is acknowledged."""
        if part.owed is None:
            part.owed = part.cut()
            part.awaited, part.outbox = part.outbox, []
        started = time.perf_counter()
        if not await self._acknowledged(part.awaited) or not self._may_write(part):
            return
        mark, entries = part.owed
        offset = await self._outgoing.write(self._topics.journal, part.number, entries)
        part.owed = None
        part.changelog_offset = max(part.changelog_offset, offset)
        part.durable = part.broker_offsets(mark)
        self._metrics.changelog_seconds.observe(time.perf_counter() - started)

    async def _acknowledged(self, sent: "Iterable[asyncio.Task[None]]") -> bool:
        """Wait for acknowledgements while the lease holds; whether all are there. Raises what sending raised."""
        waiting = set(sent)
        while waiting and self._lease.holds:
            done, waiting = await asyncio.wait(waiting, timeout=RETRY_SECONDS)
            for task in done:
                task.result()
        return not waiting

    def _alert(self, part: OwnedPartition, transition: Transition) -> OutgoingRecord:
        said = msgspec.structs.replace(transition, partition=part.number, epoch=part.epoch)
        return OutgoingRecord(self._topics.alerts, said.alert_id.encode(), _encode_transition(said))

    async def _guard(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:
            await self._crash(error)
            raise


def _passes(error: KafkaError) -> bool:
    """Whether it may work the next time."""
    return bool(error.retriable) or isinstance(error, KafkaTimeoutError)
