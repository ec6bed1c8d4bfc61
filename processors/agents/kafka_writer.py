"""What a worker writes to Kafka: single messages to other topics, and changelog records in batches."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer

EndOffsets = dict[int, int]
"""Partition to the offset after the last record that was acknowledged there."""

Headers = tuple[tuple[str, bytes], ...]


class OutgoingRecord(NamedTuple):
    """A message for another topic."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class KafkaWriter:
    """Writes to Kafka, and returns when the broker has acknowledged (all in-sync replicas)."""

    def __init__(
        self, producer: Callable[[], AIOKafkaProducer], messenger: Callable[[], Awaitable[AIOKafkaProducer]]
    ) -> None:
        """`producer`: gives the started one for changelogs; `messenger`: the one for all else, which gives up soon."""
        self._producer = producer
        self._messenger = messenger

    async def send(self, messages: Iterable[OutgoingRecord], ends_of: str) -> EndOffsets:
        """Send messages, and wait for all acknowledgements; gives the ends on one topic. Raises KafkaError."""
        producer = await self._messenger()
        sent = [
            await producer.send(message.topic, message.value, message.key, headers=list(message.headers))
            for message in messages
        ]
        return _ends(await asyncio.gather(*sent), ends_of)

    async def send_everywhere(self, message: OutgoingRecord) -> EndOffsets:
        """Send a message to every partition of its topic; raises KafkaError."""
        producer = await self._messenger()
        topic, key, value, headers = message
        sent = [
            await producer.send(topic, value, key, partition=number, headers=list(headers))
            for number in sorted(await producer.partitions_for(topic))
        ]
        return _ends(await asyncio.gather(*sent), topic)

    async def write(self, topic: str, partition: int, entries: Iterable[tuple[bytes, bytes | None]]) -> int:
        """Append records to one partition, in order; gives the last one's offset. Raises KafkaError."""
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
