"""How Kafka is reached: what settings mean to its two clients, and their errors in one line.

aiokafka serves the programs that run for long, kafka-python administration and commands.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka.errors import KafkaError

from config.settings import KafkaSettings
from config.tls import kafka_ssl_context
from processors.kafka.client_hooks import install_safe_readers
from schemas.errors import Unavailable

REQUEST_TIMEOUT_MS = 10_000
DEFAULT_TIMEOUT_SECONDS = 10.0


def async_options(kafka: KafkaSettings) -> dict[str, Any]:
    """What an aiokafka client needs to reach the broker. Never log it: it holds the password."""
    install_safe_readers(kafka.max_batch_bytes)
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


def blocking_options(kafka: KafkaSettings, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> dict[str, Any]:
    """What a kafka-python client needs to reach the broker. Never log it: it holds the password."""
    return {**async_options(kafka), "bootstrap_timeout_ms": int(timeout_seconds * 1000)}


@contextmanager
def reported(kafka: KafkaSettings) -> Iterator[None]:
    """Turn errors of kafka-python into Unavailable: one line that names the broker and the mend."""
    try:
        yield
    except KafkaError as error:
        raise unreachable(kafka, error) from error


def unreachable(kafka: KafkaSettings, error: Exception) -> Unavailable:
    """A client's error as one line that names the broker and the mend."""
    return Unavailable(
        f"Kafka at {kafka.bootstrap} ({kafka.security_protocol}): {type(error).__name__}{detail_of(error)}; "
        f"is it running, and are kafka.bootstrap{_suspect_settings(kafka)} and kafka.security_protocol right?",
    )


def _suspect_settings(kafka: KafkaSettings) -> str:
    """More settings that may be wrong: a broker that gets a wrong password hangs up without a reason."""
    sasl = ", kafka.sasl_username and its password" if kafka.security_protocol.startswith("SASL_") else ""
    return sasl + (", kafka.ssl_cafile" if kafka.security_protocol.endswith("SSL") else "")


def detail_of(error: Exception) -> str:
    """The first line of an error's text without the error's name, after a colon; empty if there is no text."""
    text = (str(error).splitlines() or [""])[0].removeprefix(type(error).__name__).removeprefix(": ")
    return f": {text}" if text else ""


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or the error's name."""
    return (str(error).splitlines() or [""])[0] or type(error).__name__
