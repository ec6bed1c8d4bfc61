"""What a worker writes to Kafka: single records to other topics, and changelog records in batches."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer

EndOffsets = dict[int, int]
"""Partition to the offset after the last record that was acknowledged there."""

Headers = tuple[tuple[str, bytes], ...]


class OutgoingRecord(NamedTuple):
    """A record for another topic."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class KafkaWriter:
    """Writes to Kafka, and returns when all in-sync replicas have acknowledged."""

    def __init__(
        self, producer: Callable[[], AIOKafkaProducer], leased_producer: Callable[[], Awaitable[AIOKafkaProducer]]
    ) -> None:
        """`producer`: returns the one for changelogs; `leased_producer`: the one for all else, which gives up early."""
        self._producer = producer
        self._leased_producer = leased_producer

    async def send(self, records: Iterable[OutgoingRecord], ends_of: str) -> EndOffsets:
        """Send records and wait for all acknowledgements; returns the new ends of one topic. Raises KafkaError."""
        producer = await self._leased_producer()
        sent = [
            await producer.send(record.topic, record.value, record.key, headers=list(record.headers))
            for record in records
        ]
        return _ends(await asyncio.gather(*sent), ends_of)

    async def send_everywhere(self, record: OutgoingRecord) -> EndOffsets:
        """Send a record to every partition of its topic; returns their new ends. Raises KafkaError."""
        producer = await self._leased_producer()
        topic, key, value, headers = record
        sent = [
            await producer.send(topic, value, key, partition=number, headers=list(headers))
            for number in sorted(await producer.partitions_for(topic))
        ]
        return _ends(await asyncio.gather(*sent), topic)

    async def write(self, topic: str, partition: int, entries: Iterable[tuple[bytes, bytes | None]]) -> int:
        """Append records to one partition, in order; returns the last one's offset. Raises KafkaError."""
        producer = self._producer()
        sent: list[tuple[asyncio.Future[Any], int]] = []
        batch = producer.create_batch()
        for key, value in entries:
            if batch.append(key=key, value=value, timestamp=None) is None:
                sent.append((await producer.send_batch(batch, topic, partition=partition), batch.record_count()))
                batch = producer.create_batch()
                if batch.append(key=key, value=value, timestamp=None) is None:
                    raise ValueError(f"a record of {len(value or b'')} bytes fits no batch for {topic}")
        sent.append((await producer.send_batch(batch, topic, partition=partition), batch.record_count()))
        acknowledged = [(await future, count) for future, count in sent]
        last, count = acknowledged[-1]
        return int(last.offset) + count - 1


def _ends(acknowledged: Iterable[Any], topic: str) -> EndOffsets:
    ends: EndOffsets = {}
    for record in acknowledged:
        if record.topic == topic:
            ends[record.partition] = max(record.offset + 1, ends.get(record.partition, 0))
    return ends
