"""After a take-over: what former owners said of alerts, and this state does not know of, is borne out or taken back.

A former owner may have sent transitions after the last checkpoint that its successor builds on, and even after it lost
the partition, if it did not notice. The successor reads what the alerts' topic has had since that checkpoint, once it
knows all the facts and nothing of a former owner can be on its way any more.
"""

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from processors.agents.kafka_writer import EndOffsets
from processors.agents.lease import Lease
from processors.agents.partitions import OwnedPartition, OwnedPartitions
from processors.kafka.connection import first_line
from processors.kafka.partition_ends import is_read, stop_reader
from schemas.alerts import Transition
from schemas.codec import UNREADABLE

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
POLL_MS = 200

_decode = msgspec.json.Decoder(Transition).decode


@dataclass(frozen=True)
class AlertReconciliation:
    """Looks through the alerts' topic once for each part that came."""

    parts: OwnedPartitions
    topic: str
    lease: Lease
    new_reader: Callable[[], AIOKafkaConsumer]
    settle_seconds: float
    """After so long, nothing that a former owner sent is on its way."""

    async def look(self) -> None:
        """Settle the parts whose turn it is. Without an answer of the broker, they wait for the next time."""
        due = [part for part in self.parts.recovered() if self.is_due(part)]
        if not due:
            return
        starts = _earliest(part.former.unread or {} for part in due)
        try:
            said, ends = await self._read(starts)
        except KafkaError as error:
            logger.warning("%s cannot be read: %s; trying again", self.topic, first_line(error))
            return
        for part in due:
            if self.parts.owns(part):
                part.ledger.reconcile(of_former_owners(part, said))
                part.former.read(ends)
                part.spoken = True

    def is_due(self, part: OwnedPartition) -> bool:
        """Whether a part has something to look at, and it is time to."""
        waits = part.epoch is not None and bool(part.former.unread)
        return waits and part.caught_up and self.lease.now() - part.former.claimed_at >= self.settle_seconds

    async def _read(self, starts: Mapping[int, int]) -> tuple[list[Transition], EndOffsets]:
        """The transitions from these offsets on, and where they end; raises KafkaError."""
        reader = self.new_reader()
        await reader.start()
        try:
            tps = [TopicPartition(self.topic, number) for number in starts]
            reader.assign(tps)
            for tp in tps:
                reader.seek(tp, starts[tp.partition])
            said = [transition async for transition in _transitions(reader, tps)]
            ends = {tp.partition: await reader.position(tp) for tp in tps}
        finally:
            await stop_reader(reader)
        return said, ends


async def _transitions(reader: AIOKafkaConsumer, tps: list[TopicPartition]) -> AsyncIterator[Transition]:
    waiting = set(tps)
    while waiting:
        for records in (await reader.getmany(*waiting, timeout_ms=POLL_MS)).values():
            for transition in filter(None, map(_transition, records)):
                yield transition
        waiting = {tp for tp in waiting if not await is_read(reader, tp)}


def _transition(record: ConsumerRecord) -> Transition | None:
    """What a record says; None: a take-over, or what the notifier refuses."""
    if record.value is None:
        return None
    try:
        return _decode(record.value)
    except UNREADABLE:
        return None


def _earliest(starts: Iterable[Mapping[int, int]]) -> EndOffsets:
    earliest: EndOffsets = {}
    for one in starts:
        for partition, start in one.items():
            earliest[partition] = min(start, earliest.get(partition, start))
    return earliest


def of_former_owners(part: OwnedPartition, said: Iterable[Transition]) -> list[Transition]:
    """The newest step of each alert that an owner before this one has said."""
    newest: dict[str, Transition] = {}
    for transition in said:
        if transition.partition != part.number or transition.epoch is None or transition.epoch == part.epoch:
            continue
        known = newest.get(transition.alert_id)
        if known is None or known.revision < transition.revision:
            newest[transition.alert_id] = transition
    return list(newest.values())
