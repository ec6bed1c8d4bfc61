"""Producers of the notifier and the board, and topics whose records must be durable."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from config.settings import KafkaSettings
from processors.sinks.kafka_client import REQUEST_MS, connection, line
from schemas.errors import Unavailable

Headers = tuple[tuple[str, bytes], ...]


@asynccontextmanager
async def running_producer(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaProducer]:
    """A producer whose records are acknowledged by all in-sync replicas; raises Unavailable if it cannot start."""
    producer = AIOKafkaProducer(**connection(kafka), acks="all", request_timeout_ms=REQUEST_MS)
    try:
        await producer.start()
    except KafkaError as error:
        await producer.stop()
        raise Unavailable(f"Kafka at {kafka.bootstrap}: {line(error)}") from error
    try:
        yield producer
    finally:
        await producer.stop()


class RecordedTopic:
    """Writes records that must be durable to one topic, through a producer that the caller starts and stops."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    async def record(self, key: bytes, value: bytes) -> None:
        """Return when the broker has it; raises Unavailable."""
        try:
            await self._producer.send_and_wait(self._topic, value, key)
        except KafkaError as error:
            raise Unavailable(f"topic {self._topic} takes no record: {line(error)}; nothing was changed") from error
