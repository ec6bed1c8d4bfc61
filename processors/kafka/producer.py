"""Producers of raw bytes. Every record is acknowledged by all in-sync replicas."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from kafka import KafkaProducer

from config.settings import KafkaSettings
from processors.kafka.connection import REQUEST_TIMEOUT_MS, async_options, blocking_options, first_line, reported
from schemas.errors import Unavailable


@contextmanager
def producer(kafka: KafkaSettings, **options: Any) -> Iterator[KafkaProducer]:
    """A blocking producer; all records are acknowledged when the block ends. Raises Unavailable."""
    with reported(kafka):
        client = KafkaProducer(**blocking_options(kafka), acks="all", **options)
        try:
            yield client
            client.flush()
        finally:
            client.close()


@asynccontextmanager
async def running_producer(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaProducer]:
    """A started asynchronous producer; raises Unavailable if it cannot start."""
    client = AIOKafkaProducer(**async_options(kafka), acks="all", request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await client.start()
    except KafkaError as error:
        await client.stop()
        raise Unavailable(f"Kafka at {kafka.bootstrap}: {first_line(error)}") from error
    try:
        yield client
    finally:
        await client.stop()
