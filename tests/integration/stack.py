"""What the integration tests of the worker share: worker processes, waits with a deadline, the read model's sums."""

import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import redis
from kafka import TopicPartition

from config.settings import Settings, as_environment
from processors.dev.metrics_page import MetricsPage, get
from processors.dev.process import ChildProcess, free_port
from processors.kafka.bulk_producer import produce
from processors.kafka.timed_messages import TimedMessage, from_messages
from processors.kafka.topic_reader import consumer
from processors.kafka.topics import ensure_topics
from processors.read_model.keys import ReadModelKeys
from schemas.events import Message, RepUpdated
from schemas.views import Partial, split_partial_field, split_pooled_subject

DEADLINE_SECONDS = 90.0
POLL_SECONDS = 0.05

Fields = dict[str, bytes]


class Worker:
    """A worker process with metrics of its own."""

    def __init__(self, settings: Settings, directory: Path, port: int = 0) -> None:
        self.port = port or free_port()
        own = msgspec.structs.replace(settings.worker, metrics_port=self.port, data_dir=directory / str(self.port))
        environment = _environment(msgspec.structs.replace(settings, worker=own))
        command = [sys.executable, "-m", "processors.commands.cli", "worker"]
        self.process = ChildProcess("the worker", command, directory / f"worker-{self.port}.log", environment)

    def page(self) -> MetricsPage:
        """Its metrics; none while it does not answer."""
        return MetricsPage(get(self.port, "/metrics") or "")

    def log(self) -> str:
        """All that it wrote."""
        return self.process.log_path.read_text(encoding="utf-8")

    def owns(self, partitions: int) -> bool:
        """Whether it has so many partitions with complete state."""
        return self.page().total("salespulse_partitions_owned") == partitions

    def counted(self) -> float:
        """Events that it took, whatever became of them."""
        return self.page().total("salespulse_events_total")


@contextmanager
def board(settings: Settings, directory: Path, port: int = 0) -> Iterator[int]:
    """A board for the length of a block: its port (0: any)."""
    port = port or free_port()
    own = msgspec.structs.replace(settings.board, port=port)
    command = [sys.executable, "-m", "processors.commands.cli", "board"]
    environment = _environment(msgspec.structs.replace(settings, board=own))
    with ChildProcess("the board", command, directory / f"board-{port}.log", environment):
        yield port


def _environment(settings: Settings) -> dict[str, str]:
    """These settings and no others."""
    others = {key: value for key, value in os.environ.items() if not key.startswith("SALESPULSE_")}
    return others | as_environment(settings)


@contextmanager
def worker(settings: Settings, directory: Path) -> Iterator[Worker]:
    """A worker for the length of a block; it is killed if it does not end."""
    running = Worker(settings, directory)
    try:
        yield running
    finally:
        running.process.kill()


def wait_until(done: Callable[[], bool], what: str, *workers: Worker, seconds: float = DEADLINE_SECONDS) -> None:
    """Wait for something; fails with what the workers said when one of them ends, or the time is over."""
    deadline = time.monotonic() + seconds
    while not done():
        ended = [running for running in workers if running.process.exit_code is not None]
        if ended or time.monotonic() > deadline:
            told = "\n".join(running.log() for running in workers)
            raise AssertionError(f"{'the worker ended before' if ended else 'not in time:'} {what}\n{told}")
        time.sleep(POLL_SECONDS)


def send(settings: Settings, messages: Iterable[Message]) -> None:
    """Events onto the events topic."""
    send_raw(settings, from_messages(messages))


def send_raw(settings: Settings, outgoing: Iterable[TimedMessage], topic: str | None = None) -> None:
    """Messages onto a topic, created if need be."""
    ensure_topics(settings)
    produce(settings.kafka, topic or settings.kafka.events_topics[0], outgoing)


def records(settings: Settings, topic: str) -> list[Any]:
    """Everything on a topic now."""
    with consumer(settings.kafka) as client:
        places = [TopicPartition(topic, number) for number in client.partitions_for_topic(topic) or ()]
        client.assign(places)
        client.seek_to_beginning()
        found: list[Any] = []
        ends = client.end_offsets(places)
        while any(client.position(place) < end for place, end in ends.items()):
            found += [record for batch in client.poll(timeout_ms=500).values() for record in batch]
        return found


def alert_records(settings: Settings) -> list[Any]:
    """The transitions on the alerts' topic; records without a value are take-overs."""
    return [record for record in records(settings, settings.kafka.alerts_topic) if record.value is not None]


class ReadModel:
    """The read model as it is in Redis."""

    def __init__(self, settings: Settings) -> None:
        self._redis: Any = redis.Redis.from_url(settings.redis.url)
        self._keys = ReadModelKeys(settings.redis.prefix)
        self._partitions = [f"{settings.kafka.events_topics[0]}/{n}" for n in range(settings.kafka.partitions)]

    def position(self) -> int:
        """How many source records it knows of."""
        found = (self._redis.hget(self._keys.fence(partition), "offset") for partition in self._partitions)
        return sum(int(offset) for offset in found if offset is not None)

    def section(self, section: Any) -> list[Fields]:
        """A section's fields, partition by partition."""
        hashes = (self._redis.hgetall(self._keys.section(partition, section)) for partition in self._partitions)
        return [{name.decode(): value for name, value in found.items()} for found in hashes]

    def reps(self) -> Fields:
        """The directory."""
        return {name.decode(): value for name, value in self._redis.hgetall(self._keys.reps).items()}

    def put_rep(self, rep: RepUpdated, offset: int) -> None:
        """An entry of the directory, as of an offset."""
        self._redis.hset(self._keys.reps, rep.rep_id, msgspec.msgpack.encode(rep))
        self._redis.hset(self._keys.rep_offsets, rep.rep_id, offset)

    def quality(self, reason: str) -> int:
        """How often something was noted."""
        days = (msgspec.msgpack.decode(value) for fields in self.section("quality") for value in fields.values())
        return sum(day.get(reason, 0) for day in days)

    def sums(self) -> dict[tuple[str, str], Counter[str]]:
        """(scope, subject) to every number, summed over days and partitions; of nested ones, `name/key/key`."""
        found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for fields in self.section("partials"):
            for name, value in fields.items():
                scope, subject, _ = split_partial_field(name)
                if scope != "rep":
                    subject, _ = split_pooled_subject(subject)
                found[scope, subject].update(_flat(msgspec.msgpack.decode(value, type=Partial)))
        return found


def _flat(partial: Partial) -> dict[str, int]:
    flat: dict[str, int] = {}
    for name, value in msgspec.to_builtins(partial).items():
        match value:
            case int():
                flat[name] = value
            case dict() if name == "stages":
                for pipeline, stages in value.items():
                    for stage, counts in stages.items():
                        for kind, count in zip(("entered", "visited", "advanced"), counts, strict=True):
                            flat[f"{kind}/{pipeline}/{stage}"] = count
            case dict():
                flat |= {f"{name}/{key}": count for key, count in value.items()}
            case _:
                flat |= {f"{name}/{place}": count for place, count in enumerate(value)}
    return flat
