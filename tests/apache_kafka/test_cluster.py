"""Apache Kafka starts as one node or three, and says plainly what it lacks."""

import asyncio
import os
from pathlib import Path

import pytest

from config.settings import KafkaSettings, Settings
from processors.board.state.dead_letter_tail import DeadLetterTail
from processors.dev.process import LOOPBACK, free_port
from processors.kafka.admin import admin_client
from processors.kafka.producer import producer
from processors.kafka.topic_reader import read_topics
from processors.kafka.topics import ensure_topics
from schemas.errors import Unavailable, UsageError
from tests.apache_kafka.apache_kafka import SHIPPED_PROPERTIES, apache_kafka, program, running_nodes, write_properties

on_apache_kafka = pytest.mark.skipif(
    os.environ.get("SALESPULSE_TEST_BROKER") != "kafka",
    reason="needs Apache Kafka: SALESPULSE_TEST_BROKER=kafka",
)


@on_apache_kafka
def test_three_nodes_keep_three_copies_and_take_records_when_one_dies(tmp_path: Path) -> None:
    with apache_kafka(tmp_path, 3) as cluster:
        kafka = KafkaSettings(bootstrap=cluster.bootstrap, replication_factor=3)
        ensure_topics(Settings(kafka=kafka))
        with admin_client(kafka) as admin:
            (topic,) = admin.describe_topics([kafka.events_topics[0]])
        assert [len(partition["replica_nodes"]) for partition in topic["partitions"]] == [3] * kafka.partitions
        cluster.nodes[2].kill()
        with producer(kafka) as sending:
            sent = [sending.send(kafka.events_topics[0], b"v", partition=n) for n in range(kafka.partitions)]
        assert [future.get(timeout=60).partition for future in sent] == list(range(kafka.partitions))


@on_apache_kafka
def test_where_a_broker_creates_what_is_asked_for_reading_still_creates_nothing(tmp_path: Path) -> None:
    ports = [(free_port(), free_port())]
    kafka = KafkaSettings(bootstrap=f"{LOOPBACK}:{ports[0][0]}")
    properties = write_properties(tmp_path, 1, ports, {"auto.create.topics.enable": "true"})
    with running_nodes([properties], kafka):
        letters = asyncio.run(DeadLetterTail(kafka, 5).fresh())
        assert f"it has no topic {kafka.dead_letters_topic}" in (letters.failure or "")
        with pytest.raises(UsageError, match="does not exist"):
            list(read_topics(kafka, (kafka.dead_letters_topic,)))
        with admin_client(kafka) as admin:
            assert admin.list_topics() == []


def test_a_missing_program_is_told_with_what_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        Unavailable, match="mvn is not on PATH: the tests on Apache Kafka need Java 17 or newer and Maven"
    ):
        program("mvn")


def test_a_node_gets_the_shipped_properties_and_its_own_places_win(tmp_path: Path) -> None:
    path = write_properties(tmp_path, 2, [(1001, 2001), (1002, 2002)], {"message.max.bytes": 7})
    text = path.read_text(encoding="utf-8")
    shipped = SHIPPED_PROPERTIES.read_text(encoding="utf-8")
    assert text.startswith(shipped)
    own = dict(line.split("=", 1) for line in text.removeprefix(shipped).split())
    assert own["node.id"] == "2"
    assert own["listeners"] == "PLAINTEXT://127.0.0.1:1002,CONTROLLER://127.0.0.1:2002"
    assert own["controller.quorum.voters"] == "1@127.0.0.1:2001,2@127.0.0.1:2002"
    assert own["message.max.bytes"] == "7"
