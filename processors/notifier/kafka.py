"""What the notifier's and the board's aiokafka clients need to reach the broker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from config.settings import KafkaSettings
from config.tls import kafka_ssl_context
from processors.notifier.acks import AckEvent
from schemas.errors import Unavailable

Headers = tuple[tuple[str, bytes], ...]

REQUEST_MS = 10_000


def connection(kafka: KafkaSettings) -> dict[str, Any]:
    """What an aiokafka client needs to reach the broker. A secret is in it: never log it."""
    options: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap.split(","),
        "security_protocol": kafka.security_protocol,
        "ssl_context": kafka_ssl_context(kafka),
    }
    if kafka.sasl_mechanism is not None and kafka.sasl_password is not None:
        options["sasl_mechanism"] = kafka.sasl_mechanism
        options["sasl_plain_username"] = kafka.sasl_username
        options["sasl_plain_password"] = kafka.sasl_password.reveal()
    return options


async def partition_counts(kafka: KafkaSettings) -> dict[str, int]:
    """Every topic with its number of partitions; raises KafkaError, OSError.

    Asks for all topics: asking for a missing one may create it.
    """
    client = AIOKafkaClient(**connection(kafka), request_timeout_ms=REQUEST_MS)
    try:
        await client.bootstrap()
        cluster = await client.fetch_all_metadata()
    finally:
        await client.close()
    return {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in cluster.topics()}


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


class AckTopic:
    """Records acknowledgements on their topic, through a producer that somebody else starts and stops."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    async def record(self, key: bytes, event: AckEvent) -> None:
        """Return when the broker has it; raises Unavailable."""
        try:
            await self._producer.send_and_wait(self._topic, msgspec.json.encode(event), key)
        except KafkaError as error:
            raise Unavailable(f"topic {self._topic} takes no record: {line(error)}; nothing was changed") from error


def line(error: BaseException) -> str:
    """The first line of an error."""
    return (str(error).splitlines() or [""])[0] or type(error).__name__
