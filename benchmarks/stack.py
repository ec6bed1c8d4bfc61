"""A broker, a Redis server and topics for a benchmark, and the processes of Salespulse on them."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from benchmarks.corpus import directory_of_reps
from benchmarks.machine import pinned
from config.board_settings import BoardSettings
from config.settings import (
    ClockSettings,
    KafkaSettings,
    RedisSettings,
    Settings,
    WorkerSettings,
    as_environment,
)
from processors.dev.broker import EmbeddedBroker, embedded_broker
from processors.dev.metrics_page import MetricsPage, metrics
from processors.dev.process import ChildProcess, free_port
from processors.dev.redis_server import EmbeddedRedis, embedded_redis
from processors.kafka.bulk_producer import produce
from processors.kafka.timed_messages import TimedMessage, from_messages
from processors.kafka.topics import ensure_topics
from schemas.errors import Unavailable

READY_SECONDS = 90.0
POLL_SECONDS = 0.1


class Stack(msgspec.Struct, frozen=True):
    """What runs, and where it writes."""

    broker: EmbeddedBroker
    redis: EmbeddedRedis
    directory: Path

    def settings(self, group: str, clock: ClockSettings | None = None) -> Settings:
        """Settings for a worker and a board that begin from nothing; groups share topics of events and reps only."""
        directory = self.directory / group
        directory.mkdir(exist_ok=True)
        return Settings(
            kafka=KafkaSettings(
                bootstrap=self.broker.bootstrap,
                group=group,
                dead_letters_topic=f"{group}.dead-letters",
                alerts_topic=f"{group}.alerts",
            ),
            redis=RedisSettings(url=self.redis.url, prefix=group),
            worker=WorkerSettings(metrics_port=free_port(), data_dir=directory),
            board=BoardSettings(port=free_port()),
            clock=clock or ClockSettings(),
        )


@contextmanager
def running_stack(directory: Path, on: set[int]) -> Iterator[Stack]:
    """Broker and Redis on these cores, for the length of a block."""
    with ExitStack() as running:
        with pinned(on):
            broker = running.enter_context(embedded_broker(directory))
            redis = running.enter_context(embedded_redis(directory))
        yield Stack(broker, redis, directory)


@contextmanager
def salespulse(
    command: Literal["worker", "board"], settings: Settings, on: set[int], python: tuple[str, ...] = ()
) -> Iterator[ChildProcess]:
    """A process of Salespulse with these settings on these cores, for the length of a block.

    `python`: options of the interpreter, such as those that profile.
    """
    label = f"{settings.kafka.group}-{command}"
    env = {**os.environ, **as_environment(settings)}
    with pinned(on):
        process = ChildProcess(
            label,
            [sys.executable, *python, "-m", "processors.commands.cli", command],
            settings.worker.data_dir / f"{label}.log",
            env,
        )
    with process:
        yield process


def prepare(settings: Settings) -> None:
    """Create the topics, and announce the reps of the mix."""
    ensure_topics(settings)
    produce(settings.kafka, settings.kafka.reps_topic, from_messages(directory_of_reps()))


def produce_events(settings: Settings, outgoing: Iterable[TimedMessage]) -> int:
    """Send messages to the events topic; gives how many were acknowledged."""
    return produce(settings.kafka, settings.kafka.events_topics[0], outgoing).acknowledged


def applied(page: MetricsPage) -> int:
    """How many records of customers a worker has taken, of whatever outcome."""
    everything = page.total("salespulse_events_total")
    return int(everything - page.total("salespulse_events_total", type="rep.updated"))


def wait_for(
    process: ChildProcess, port: int, done: Callable[[MetricsPage], bool], within_seconds: float = READY_SECONDS
) -> MetricsPage:
    """Poll a process's metrics until they say so; raises Unavailable when it ends, or takes too long."""
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        page = metrics(port)
        if page is not None and done(page):
            return page
        if process.exit_code is not None:
            raise Unavailable(f"{process.name} ended with exit code {process.exit_code}: {process.log_tail()}")
        time.sleep(POLL_SECONDS)
    raise Unavailable(f"{process.name}: not there after {within_seconds:g} s; {process.log_path}")


def fixed_clock(at_us: int) -> ClockSettings:
    """A clock that stands at an instant (microseconds since 1970)."""
    return ClockSettings(mode="fixed", at=datetime.fromtimestamp(at_us / 1e6, UTC))
