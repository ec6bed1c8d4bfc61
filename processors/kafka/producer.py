"""Producers of raw bytes. Every record is acknowledged by all in-sync replicas."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from config.settings import KafkaSettings
from processors.sinks.kafka_client import REQUEST_MS, connection, line
from schemas.errors import Unavailable


@asynccontextmanager
async def running_producer(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaProducer]:
    """A started asynchronous producer; raises Unavailable if it cannot start."""
    client = AIOKafkaProducer(**connection(kafka), acks="all", request_timeout_ms=REQUEST_MS)
    try:
        await client.start()
    except KafkaError as error:
        await client.stop()
        raise Unavailable(f"Kafka at {kafka.bootstrap}: {line(error)}") from error
    try:
        yield client
    finally:
        await client.stop()
