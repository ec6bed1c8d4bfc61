"""Kafka clients for administration, imports and tools: everything beside the workers' hot path."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError

from config.settings import KafkaSettings
from config.tls import kafka_ssl_context
from processors.sinks.batch_hooks import read_safely
from schemas.errors import Unavailable

DEFAULT_TIMEOUT_SECONDS = 10.0


def client_options(kafka: KafkaSettings, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> dict[str, Any]:
    """What every client needs to reach the broker. A secret is in it: never log it."""
    read_safely(kafka.max_batch_bytes)
    options: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap.split(","),
        "security_protocol": kafka.security_protocol,
        "ssl_context": kafka_ssl_context(kafka),
        "bootstrap_timeout_ms": int(timeout_seconds * 1000),
    }
    if kafka.sasl_mechanism is not None and kafka.sasl_password is not None:
        options["sasl_mechanism"] = kafka.sasl_mechanism
        options["sasl_plain_username"] = kafka.sasl_username
        options["sasl_plain_password"] = kafka.sasl_password.reveal()
    return options


@contextmanager
def admin_client(kafka: KafkaSettings, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> Iterator[KafkaAdminClient]:
    """An administration client; raises Unavailable when the broker does not answer within the time or refuses us."""
    with reported(kafka):
        client = KafkaAdminClient(
            **client_options(kafka, timeout_seconds),
            request_timeout_ms=int(timeout_seconds * 1000),
        )
        try:
            yield client
        finally:
            client.close()


@contextmanager
def producer(kafka: KafkaSettings, **options: Any) -> Iterator[KafkaProducer]:
    """A producer of raw bytes whose records are all acknowledged when the block ends; raises Unavailable."""
    with reported(kafka):
        client = KafkaProducer(**client_options(kafka), acks="all", **options)
        try:
            yield client
            client.flush()
        finally:
            client.close()


@contextmanager
def consumer(kafka: KafkaSettings, **options: Any) -> Iterator[KafkaConsumer]:
    """A consumer of raw bytes without a group, which reads what is committed, as workers do; raises Unavailable."""
    options = {"enable_auto_commit": False, "isolation_level": "read_committed"} | options
    with reported(kafka):
        client = KafkaConsumer(**client_options(kafka), **options)
        try:
            yield client
        finally:
            client.close()


@contextmanager
def reported(kafka: KafkaSettings) -> Iterator[None]:
    """Errors of the Kafka client become one line that names the broker and the mend."""
    try:
        yield
    except KafkaError as error:
        raise unreachable(kafka, error) from error


def unreachable(kafka: KafkaSettings, error: Exception) -> Unavailable:
    """What a client's error says, in one line with the broker and the mend."""
    return Unavailable(
        f"Kafka at {kafka.bootstrap} ({kafka.security_protocol}): {type(error).__name__}{said(error)}; "
        f"is it running, and are kafka.bootstrap{_sought(kafka)} and kafka.security_protocol right?",
    )


def _sought(kafka: KafkaSettings) -> str:
    """Settings that may be wrong as well: a broker hangs up on a wrong password without a word."""
    sasl = ", kafka.sasl_username and its password" if kafka.security_protocol.startswith("SASL_") else ""
    return sasl + (", kafka.ssl_cafile" if kafka.security_protocol.endswith("SSL") else "")


def said(error: Exception) -> str:
    """The first line of what an error says beside its name, after a colon."""
    line = (str(error).splitlines() or [""])[0].removeprefix(type(error).__name__).removeprefix(": ")
    return f": {line}" if line else ""
