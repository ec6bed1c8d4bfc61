"""The embedded broker and Redis answer when they say so, tell why they cannot start, and end without a trace."""

import socket
from pathlib import Path

import pytest
import redis
from kafka import TopicPartition

from config.settings import KafkaSettings
from processors.dev.broker import EmbeddedBroker, brokers_answer, embedded_broker
from processors.dev.process import free_port, port_is_free
from processors.dev.redis_server import EmbeddedRedis, embedded_redis
from processors.kafka.admin import admin_client
from processors.kafka.producer import producer
from processors.kafka.topic_reader import consumer
from schemas.errors import Unavailable


def test_the_broker_keeps_what_it_is_given(tmp_path: Path) -> None:
    with embedded_broker(tmp_path) as broker:
        kafka = KafkaSettings(bootstrap=broker.bootstrap)
        with admin_client(kafka) as admin:
            admin.create_topics({"t": {"num_partitions": 1, "replication_factor": 1}})
        with producer(kafka) as sending:
            sending.send("t", key=b"k", value=b"v")
        with consumer(kafka, consumer_timeout_ms=10_000) as receiving:
            receiving.assign([TopicPartition("t", 0)])
            receiving.seek_to_beginning()
            record = next(receiving)
    assert (record.key, record.value) == (b"k", b"v")
    assert (tmp_path / "broker.log").exists()


def test_a_stopped_broker_does_not_answer(tmp_path: Path) -> None:
    broker = EmbeddedBroker.start(tmp_path)
    kafka = KafkaSettings(bootstrap=broker.bootstrap)
    assert brokers_answer(kafka)
    broker.stop()
    assert not brokers_answer(kafka)
    assert port_is_free(*address(broker.bootstrap))


def test_redis_answers_on_loopback_and_writes_nothing_but_its_log(tmp_path: Path) -> None:
    with embedded_redis(tmp_path) as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("a", 1)
            assert client.config_get("save")["save"] == ""
            assert client.config_get("bind")["bind"] == "127.0.0.1"
        port = server.port
    assert [path.name for path in tmp_path.iterdir()] == ["redis.log"]
    assert port_is_free("127.0.0.1", port)


@pytest.mark.parametrize("part", [EmbeddedBroker, EmbeddedRedis])
def test_a_taken_port_is_told_in_one_line(part: type[EmbeddedBroker] | type[EmbeddedRedis], tmp_path: Path) -> None:
    with socket.socket() as rival:
        rival.bind(("127.0.0.1", free_port()))
        rival.listen()
        with pytest.raises(Unavailable, match=r"port \d+ on 127.0.0.1 is taken; choose another") as caught:
            part.start(tmp_path, rival.getsockname()[1])
    assert "\n" not in str(caught.value)


def address(bootstrap: str) -> tuple[str, int]:
    """Host and port."""
    host, _, port = bootstrap.rpartition(":")
    return host, int(port)
