"""Questions and orders to the cluster itself."""

from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka.client import AIOKafkaClient
from kafka import KafkaAdminClient

from config.settings import KafkaSettings
from processors.kafka.connection import (
    DEFAULT_TIMEOUT_SECONDS,
    REQUEST_TIMEOUT_MS,
    async_options,
    blocking_options,
    reported,
)


@contextmanager
def admin_client(kafka: KafkaSettings, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> Iterator[KafkaAdminClient]:
    """An administration client; raises Unavailable when the broker does not answer in time or refuses the login."""
    with reported(kafka):
        client = KafkaAdminClient(
            **blocking_options(kafka, timeout_seconds),
            request_timeout_ms=int(timeout_seconds * 1000),
        )
        try:
            yield client
        finally:
            client.close()


async def partition_counts(kafka: KafkaSettings) -> dict[str, int]:
    """Every topic with its number of partitions; raises KafkaError, OSError.

    Asks for all topics: asking for a missing one may create it.
    """
    client = AIOKafkaClient(**async_options(kafka), request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await client.bootstrap()
        cluster = await client.fetch_all_metadata()
    finally:
        await client.close()
    return {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in cluster.topics()}
