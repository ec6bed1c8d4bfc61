"""TLS to the broker, the same for every Kafka client in use here."""

import ssl

from config.settings import KafkaSettings
from schemas.errors import ConfigError


def kafka_ssl_context(kafka: KafkaSettings) -> ssl.SSLContext | None:
    """The context for SSL and SASL_SSL, None for plain text; raises ConfigError if a certificate cannot be used."""
    if kafka.security_protocol not in ("SSL", "SASL_SSL"):
        return None
    context = _trusting(kafka)
    if kafka.ssl_certfile is not None:
        try:
            context.load_cert_chain(kafka.ssl_certfile, kafka.ssl_keyfile)
        except OSError as error:
            pair = f"kafka.ssl_certfile = {kafka.ssl_certfile}, kafka.ssl_keyfile = {kafka.ssl_keyfile}"
            raise ConfigError(f"{pair}: {error}; allowed: a PEM certificate and its key without a password") from error
    return context


def _trusting(kafka: KafkaSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=kafka.ssl_cafile)
    except OSError as error:
        raise ConfigError(f"kafka.ssl_cafile = {kafka.ssl_cafile}: {error}; allowed: a PEM file") from error
