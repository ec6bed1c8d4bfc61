"""The connection of asynchronous clients to Kafka: made from the settings, and what a failure of it says in a line."""

from typing import Any

from aiokafka.client import AIOKafkaClient

from config.settings import KafkaSettings
from config.tls import kafka_ssl_context
from processors.sinks.batch_hooks import read_safely

REQUEST_MS = 10_000


def connection(kafka: KafkaSettings) -> dict[str, Any]:
    """What an aiokafka client needs to reach the broker. A secret is in it: never log it."""
    read_safely(kafka.max_batch_bytes)
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


def line(error: BaseException) -> str:
    """The first line of an error."""
    return (str(error).splitlines() or [""])[0] or type(error).__name__
