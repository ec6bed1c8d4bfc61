"""What an asynchronous client needs to reach Kafka."""

from config.settings import KafkaSettings
from config.values import Secret
from processors.kafka.connection import async_options


def test_credentials_reach_the_client() -> None:
    kafka = KafkaSettings(
        bootstrap="a:1,b:2",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_username="worker",
        sasl_password=Secret("open sesame"),
    )

    options = async_options(kafka)

    assert options["bootstrap_servers"] == ["a:1", "b:2"]
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("worker", "open sesame")
