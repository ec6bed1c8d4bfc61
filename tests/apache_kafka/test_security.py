"""Clients reach Apache Kafka over TLS with a password, and are told in one line when they may not."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from config.settings import KafkaSettings, RedisSettings, Settings, load_settings
from processors.dev.process import LOOPBACK, free_port
from processors.kafka.admin import admin_client
from processors.kafka.topics import all_topics, ensure_topics
from schemas.errors import ConfigError, Unavailable
from tests.apache_kafka.apache_kafka import running_nodes, write_properties
from tests.apache_kafka.secured import PASSWORD, USER, new_certificate, secure_properties
from tests.hostile.onslaught import withstand
from tests.integration.stack import records, send_raw, wait_until, worker

HOSTILE_RECORDS, SEED = 5_000, 13

pytestmark = pytest.mark.skipif(
    os.environ.get("SALESPULSE_TEST_BROKER") != "kafka",
    reason="needs Apache Kafka: SALESPULSE_TEST_BROKER=kafka",
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secured(certificate: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaSettings]:
    """Settings of a client for a running broker that wants TLS and a password."""
    directory = tmp_path_factory.mktemp("secured")
    port, controller = free_port(), free_port()
    properties = write_properties(directory, 1, [(port, controller)], secure(port, controller, certificate))
    client = client_of(port, certificate, PASSWORD)
    with running_nodes([properties], client):
        yield client


def secure(port: int, controller: int, certificate: Path) -> dict[str, object]:
    """What a broker needs to want TLS and a password."""
    return {
        "listeners": f"SASL_SSL://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller}",
        "advertised.listeners": f"SASL_SSL://{LOOPBACK}:{port}",
        "listener.security.protocol.map": "SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "SASL_SSL",
        **secure_properties(["SASL_SSL"], certificate),
    }


def client_of(port: int, certificate: Path, password: str) -> KafkaSettings:
    """A client's settings, as they come from the environment."""
    values = {
        "BOOTSTRAP": f"{LOOPBACK}:{port}",
        "SECURITY_PROTOCOL": "SASL_SSL",
        "SASL_MECHANISM": "PLAIN",
        "SASL_USERNAME": USER,
        "SASL_PASSWORD": password,
        "SSL_CAFILE": str(certificate),
    }
    return load_settings(None, {f"SALESPULSE_KAFKA__{key}": value for key, value in values.items()}).kafka


def test_topics_are_made_over_tls_with_a_password(secured: KafkaSettings) -> None:
    settings = Settings(kafka=secured)
    assert ensure_topics(settings) == [spec.name for spec in all_topics(settings)]


def test_a_worker_takes_and_sends_over_tls_with_a_password_that_nobody_reads_in_its_log(
    secured: KafkaSettings, redis_url: str, tmp_path: Path
) -> None:
    settings = Settings(kafka=secured, redis=RedisSettings(url=redis_url))
    send_raw(settings, [(0, b"c", b"no event")])
    with worker(settings, tmp_path) as running:
        wait_until(lambda: running.counted() == 1, "it took the record", running)
        wait_until(lambda: bool(records(settings, secured.dead_letters_topic)), "it sent a dead letter", running)
        assert running.process.stop() == 0
        assert PASSWORD not in running.log()


@pytest.mark.timeout(900)
def test_a_worker_withstands_a_hostile_producer_over_tls_with_a_password(
    secured: KafkaSettings, redis_url: str, tmp_path: Path
) -> None:
    kafka = msgspec.structs.replace(
        secured, group="hostile", events_topics=("hostile.events",), reps_topic="hostile.reps"
    )
    settings = Settings(kafka=kafka, redis=RedisSettings(url=redis_url, prefix="hostile"))
    account, _ = withstand(settings, tmp_path, SEED, HOSTILE_RECORDS)
    assert account.offsets > HOSTILE_RECORDS // 2


def test_a_wrong_password_is_told_without_repeating_it(secured: KafkaSettings, certificate: Path) -> None:
    port = int(secured.bootstrap.rpartition(":")[2])
    with (
        pytest.raises(Unavailable, match=r"\(SASL_SSL\): .*kafka.sasl_username and its password") as caught,
        admin_client(client_of(port, certificate, "swordfish"), 5.0),
    ):
        pass
    assert "swordfish" not in str(caught.value)


def test_a_client_without_tls_is_told_what_it_used(secured: KafkaSettings) -> None:
    with (
        pytest.raises(Unavailable, match=r"\(PLAINTEXT\): .*kafka.security_protocol"),
        admin_client(KafkaSettings(bootstrap=secured.bootstrap), 2.0),
    ):
        pass


def test_a_file_that_is_no_certificate_is_told(secured: KafkaSettings, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("no certificate", encoding="utf-8")
    port = int(secured.bootstrap.rpartition(":")[2])
    with pytest.raises(ConfigError, match=r"kafka.ssl_cafile = .*ca.pem"), admin_client(client_of(port, path, "x")):
        pass
