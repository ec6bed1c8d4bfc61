"""After a takeover: transitions that earlier owners sent, and this state does not know, are confirmed or withdrawn.

An earlier owner may have sent transitions after the last checkpoint, on which its successor builds; even after it lost
the partition, if it did not notice. So the successor reads what the alerts' topic got since that checkpoint. It waits
until it knows all events, and until nothing of an earlier owner can still be on its way.
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
    """Reads the alerts' topic once for each partition that was claimed."""

    partitions: OwnedPartitions
    topic: str
    lease: Lease
    new_reader: Callable[[], AIOKafkaConsumer]
    quiet_seconds: float
    """This long after a claim, nothing that an earlier owner sent is still on its way."""

    async def reconcile_due(self) -> None:
        """Reconcile the partitions that are due. If the broker does not answer, they stay due."""
        due = [partition for partition in self.partitions.recovered() if self.is_due(partition)]
        if not due:
            return
        starts = _earliest(partition.alert_log.unread or {} for partition in due)
        try:
            sent, ends = await self._read(starts)
        except KafkaError as error:
            logger.warning("%s cannot be read: %s; trying again", self.topic, first_line(error))
            return
        for partition in due:
            if self.partitions.owns(partition):
                partition.ledger.reconcile(newest_of_earlier_owners(partition, sent))
                partition.alert_log.mark_read(ends)
                partition.outdate_mark()

    def is_due(self, partition: OwnedPartition) -> bool:
        """Whether a partition has transitions to reconcile, and the time for it has come."""
        unread = partition.epoch is not None and bool(partition.alert_log.unread)
        return (
            unread and partition.caught_up and self.lease.now() - partition.alert_log.claimed_at >= self.quiet_seconds
        )

    async def _read(self, starts: Mapping[int, int]) -> tuple[list[Transition], EndOffsets]:
        """The transitions from these offsets on, and the ends of the partitions; raises KafkaError."""
        reader = self.new_reader()
        await reader.start()
        try:
            tps = [TopicPartition(self.topic, number) for number in starts]
            reader.assign(tps)
            for tp in tps:
                reader.seek(tp, starts[tp.partition])
            sent = [transition async for transition in _transitions(reader, tps)]
            ends = {tp.partition: await reader.position(tp) for tp in tps}
        finally:
            await stop_reader(reader)
        return sent, ends


async def _transitions(reader: AIOKafkaConsumer, tps: list[TopicPartition]) -> AsyncIterator[Transition]:
    unread = set(tps)
    while unread:
        for records in (await reader.getmany(*unread, timeout_ms=POLL_MS)).values():
            for transition in filter(None, map(_transition, records)):
                yield transition
        unread = {tp for tp in unread if not await is_read(reader, tp)}


def _transition(record: ConsumerRecord) -> Transition | None:
    """A record's transition; None for a takeover, and for what the notifier refuses."""
    if record.value is None:
        return None
    try:
        return _decode(record.value)
    except UNREADABLE:
        return None


def _earliest(starts: Iterable[Mapping[int, int]]) -> EndOffsets:
    earliest: EndOffsets = {}
    for offsets in starts:
        for partition, start in offsets.items():
            earliest[partition] = min(start, earliest.get(partition, start))
    return earliest


def newest_of_earlier_owners(partition: OwnedPartition, sent: Iterable[Transition]) -> list[Transition]:
    """Of each alert of a partition, the newest transition that an earlier owner sent."""
    newest: dict[str, Transition] = {}
    for transition in sent:
        if transition.partition != partition.number or transition.epoch in (None, partition.epoch):
            continue
        known = newest.get(transition.alert_id)
        if known is None or known.revision < transition.revision:
            newest[transition.alert_id] = transition
    return list(newest.values())
