"""The broker that compose starts lets in whoever has the password of `.env`, and nobody else."""

import os
from collections.abc import Iterator

import msgspec
import pytest

from config.settings import KafkaSettings
from config.values import Secret
from processors.dev.process import LOOPBACK, free_port
from processors.kafka.admin import admin_client
from schemas.errors import Unavailable
from tests.apache_kafka.apache_kafka import running_nodes, write_properties

PASSWORD = "0123456789abcdef"

pytestmark = pytest.mark.skipif(
    os.environ.get("SALESPULSE_TEST_BROKER") != "kafka",
    reason="needs Apache Kafka: SALESPULSE_TEST_BROKER=kafka",
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaSettings]:
    """A client of a broker with the shipped security, on addresses of its own."""
    inside, host, controller = free_port(), free_port(), free_port()
    more = {
        "listeners": f"INSIDE://{LOOPBACK}:{inside},HOST://{LOOPBACK}:{host},CONTROLLER://{LOOPBACK}:{controller}",
        "advertised.listeners": f"INSIDE://{LOOPBACK}:{inside},HOST://{LOOPBACK}:{host}",
        "listener.security.protocol.map": "INSIDE:SASL_PLAINTEXT,HOST:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "INSIDE",
    }
    properties = write_properties(tmp_path_factory.mktemp("shipped"), 1, [(inside, controller)], more)
    settings = KafkaSettings(
        bootstrap=f"{LOOPBACK}:{host}",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_username="salespulse",
        sasl_password=Secret(PASSWORD),
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("KAFKA_PASSWORD", PASSWORD)
        with running_nodes([properties], settings):
            yield settings


def test_the_password_of_the_environment_opens_it(client: KafkaSettings) -> None:
    with admin_client(client) as admin:
        assert admin.list_topics() is not None


def test_another_password_and_none_do_not(client: KafkaSettings) -> None:
    wrong = msgspec.structs.replace(client, sasl_password=Secret("wrong"))
    none = KafkaSettings(bootstrap=client.bootstrap)
    for stranger in (wrong, none):
        with pytest.raises(Unavailable), admin_client(stranger) as admin:
            admin.list_topics()
