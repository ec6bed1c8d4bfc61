"""What tests share: a broker and a Redis server for the whole run, and names of their own for each test.

`SALESPULSE_TEST_BROKER=kafka` puts Apache Kafka (Maven and Java needed) in the place of the embedded broker.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import pytest
import redis
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from config.settings import RedisSettings, Settings, WorkerSettings
from processors.dev.broker import embedded_broker
from processors.dev.compiled import is_stale
from processors.dev.redis_server import embedded_redis
from schemas.errors import Unavailable
from tests.apache_kafka.apache_kafka import apache_kafka
from tests.topics import kafka_under, notifier_under

# A loaded machine is slow at times: that is no failure of what is tested.
hypothesis_settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("patient")


class RunningBroker(Protocol):
    """What both brokers have."""

    bootstrap: str


BROKER = os.environ.get("SALESPULSE_TEST_BROKER") or "embedded"
BROKERS: dict[str, Callable[[Path], AbstractContextManager[RunningBroker]]] = {
    "embedded": embedded_broker,
    "kafka": apache_kafka,
}

SESSION_TIMEOUTS_SECONDS = {"embedded": 3.0, "kafka": 6.0}
"""Tests that kill workers wait for it each time; Kafka allows for no less than 6 s."""


def pytest_configure() -> None:
    """Refuse a broker that we do not know, and a core of other sources, before any test runs."""
    if is_stale():
        raise pytest.UsageError("the compiled core does not fit its sources: run `make compile` or `make pure`")
    if BROKER not in BROKERS:
        raise pytest.UsageError(f"SALESPULSE_TEST_BROKER = {BROKER!r}; allowed are {', '.join(BROKERS)}")


def pytest_report_header() -> str:
    """Say which broker the integration tests use."""
    return f"broker: {BROKER}"


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The bootstrap address of a running broker, shared by all tests: use `topic_prefix` for names."""
    try:
        with BROKERS[BROKER](tmp_path_factory.mktemp("broker")) as running:
            yield running.bootstrap
    except Unavailable as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running Redis server, shared by all tests: ask for `redis_url` to have it empty."""
    with embedded_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running.url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The URL of an empty Redis server."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


@pytest.fixture
def topic_prefix() -> str:
    """The first part of names that no other test uses."""
    return f"t{uuid4().hex[:12]}"


@pytest.fixture
def settings(broker: str, redis_url: str, topic_prefix: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings for the running broker and an empty Redis, with topics, group and keys of this test's own."""
    return Settings(
        kafka=kafka_under(topic_prefix, broker, SESSION_TIMEOUTS_SECONDS[BROKER]),
        notifier=notifier_under(topic_prefix),
        redis=RedisSettings(url=redis_url, prefix=topic_prefix),
        worker=WorkerSettings(metrics_port=0, data_dir=tmp_path_factory.mktemp("worker")),
    )
