"""What a worker writes to Kafka: single messages to other topics, and changelog records in batches."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer

Headers = tuple[tuple[str, bytes], ...]


class Message(NamedTuple):
    """A message for another topic."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Outgoing:
    """Writes through the app's producer, and returns when the broker has acknowledged (all in-sync replicas)."""

    def __init__(self, producer: Callable[[], AIOKafkaProducer]) -> None:
        """`producer`: gives the started producer."""
        self._producer = producer

    async def send(self, messages: Iterable[Message]) -> None:
        """Send messages, and wait for all acknowledgements; raises KafkaError."""
        producer = self._producer()
        sent = [
            await producer.send(message.topic, message.value, message.key, headers=list(message.headers))
            for message in messages
        ]
        await asyncio.gather(*sent)

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
