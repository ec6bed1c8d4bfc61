"""Topics that change under the workers: made anew, cut short, with more partitions. Nothing passes in silence."""

import io
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaAdminClient
from rich.console import Console

from config.clock import Clock
from config.settings import Settings
from processors.commands.growth import grow, grown
from processors.commands.new_log import accept_new_log, read_journals
from processors.commands.verify import verify
from processors.core.time.instants import DAY_US, SECOND_US, moment
from processors.kafka.admin import admin_client
from processors.kafka.producer import producer
from processors.kafka.topics import create_missing, ensure_topics, wanted_topics
from schemas import events as ev
from schemas.codec import encode
from schemas.errors import UsageError
from tests.integration.stack import (
    DEADLINE_SECONDS,
    POLL_SECONDS,
    ReadModel,
    Worker,
    send,
    send_raw,
    wait_until,
    worker,
)
from tests.story import rep

STOPS_SECONDS = 150.0
CUSTOMERS = 40
ON_KAFKA = os.environ.get("SALESPULSE_TEST_BROKER") == "kafka"
raises_partitions = pytest.mark.skipif(
    not ON_KAFKA,
    reason="the embedded broker adds no partitions: SALESPULSE_TEST_BROKER=kafka",
)


def calls(settings: Settings, prefix: str, count: int) -> list[ev.Event]:
    """Calls to some customers, one a second, that ended an hour ago."""
    began_us = Clock(settings.clock).now_us() - DAY_US // 24
    return [
        ev.ActivityLogged(
            event_id=f"{prefix}-{n}",
            rep_id="ann",
            kind="call",
            customer_id=f"c{n % CUSTOMERS}",
            occurred_at=moment(began_us - n * SECOND_US),
        )
        for n in range(count)
    ]


def counted(settings: Settings) -> int:
    """Calls in the read model."""
    return ReadModel(settings).sums()["rep", "ann"]["activities/call"]


def durable(settings: Settings) -> int:
    """Records of which the journal has what they say."""
    return sum(sum(journal.position.next_offsets.values()) for journal in read_journals(settings.kafka).values())


def remake(admin: KafkaAdminClient, settings: Settings, name: str) -> None:
    """Delete a topic and make it anew."""
    admin.delete_topics([name])
    wait_until(lambda: name not in admin.list_topics(), f"{name} is gone")
    create_missing(admin, [spec for spec in wanted_topics(settings.kafka, settings.retention) if spec.name == name])


def stopped(running: Worker, words: str) -> bool:
    return running.process.exit_code == 1 and words in running.log()


@pytest.fixture
def applied(settings: Settings) -> Iterator[Callable[[], Worker]]:
    """Four hundred calls that a worker has applied and published; gives what starts a worker."""
    ensure_topics(settings)
    started: list[Worker] = []

    def start() -> Worker:
        directory: Path = settings.worker.data_dir
        directory.mkdir(exist_ok=True)
        started.append(Worker(settings, directory))
        return started[-1]

    send(settings, calls(settings, "old", 400))
    try:
        yield start
    finally:
        for running in started:
            running.process.kill()


def output_of(tool: Callable[[Console], int]) -> str:
    """What a tool writes, once the group has noticed that its last worker has gone."""
    console = Console(record=True, width=300, file=io.StringIO())
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            assert tool(console) == 0
        except UsageError:
            assert time.monotonic() < deadline
            time.sleep(POLL_SECONDS)
        else:
            return console.export_text()


def refuses_while_workers_run(tool: Callable[[], int]) -> None:
    """The embedded broker cannot tell whether they run."""
    if ON_KAFKA:
        with pytest.raises(UsageError, match="stop all workers"):
            tool()


def accept(settings: Settings) -> str:
    return output_of(lambda console: accept_new_log(settings, console))


def test_a_topic_made_anew_while_a_worker_runs_stops_it_and_accepted_it_counts_on(
    settings: Settings, applied: Callable[[], Worker]
) -> None:
    running = applied()
    wait_until(lambda: counted(settings) == 400 and durable(settings) == 400, "the fold", running)
    refuses_while_workers_run(lambda: accept_new_log(settings, Console()))
    topic = settings.kafka.events_topics[0]
    with admin_client(settings.kafka) as admin:
        remake(admin, settings, topic)
    send(settings, calls(settings, "new", 600))
    wait_until(lambda: running.page().total("salespulse_topic_fault") == 1, "the fault", seconds=STOPS_SECONDS)
    wait_until(lambda: stopped(running, f"{topic} "), "the end", seconds=STOPS_SECONDS)
    assert "--accept-new-log" in running.log()
    again = applied()
    wait_until(lambda: stopped(again, f"{topic} has the id"), "the end of the next one", seconds=STOPS_SECONDS)
    assert "records were applied; their facts stay" in accept(settings)
    assert "nothing to do" in accept(settings)
    last = applied()
    wait_until(lambda: counted(settings) == 1000, "both logs", last)
    right = verify(settings)
    assert right.differences == []
    assert right.split_customers == {}


def test_a_topic_that_ends_before_what_was_applied_stops_a_worker_and_accepted_it_counts_on(
    settings: Settings, applied: Callable[[], Worker]
) -> None:
    running = applied()
    wait_until(lambda: counted(settings) == 400 and durable(settings) == 400, "the fold", running)
    running.process.stop()
    topic = settings.kafka.events_topics[0]
    with admin_client(settings.kafka) as admin:
        remake(admin, settings, topic)
    send(settings, calls(settings, "new", 100))
    again = applied()
    wait_until(lambda: stopped(again, f"{topic} "), "the end", seconds=STOPS_SECONDS)
    assert "--accept-new-log" in again.log()
    accept(settings)
    last = applied()
    wait_until(lambda: counted(settings) == 500, "both logs", last)
    assert verify(settings).differences == []


@raises_partitions
def test_more_partitions_stop_a_worker_within_a_minute(settings: Settings, applied: Callable[[], Worker]) -> None:
    running = applied()
    wait_until(lambda: counted(settings) == 400 and durable(settings) == 400, "the fold", running)
    with admin_client(settings.kafka) as admin:
        admin.create_partitions({settings.kafka.events_topics[0]: 6})
    wait_until(lambda: running.page().total("salespulse_topic_fault") == 1, "the fault", seconds=60)
    wait_until(lambda: stopped(running, "has 6 partitions"), "the end", seconds=STOPS_SECONDS)
    assert "salespulse topics --grow 6" in running.log()


def test_growing_gives_each_customer_one_partition_and_keeps_all_facts(
    settings: Settings, applied: Callable[[], Worker]
) -> None:
    topic = settings.kafka.events_topics[0]
    with producer(settings.kafka) as client:
        for number, call in enumerate(calls(settings, "astray", 50)):
            client.send(topic, key=None, value=encode(call), partition=number % settings.kafka.partitions)
        client.send(topic, key=b"c1", value=b"{")
    running = applied()
    wait_until(lambda: counted(settings) == 450, "the fold", running)
    assert verify(settings).split_customers
    refuses_while_workers_run(lambda: grow(settings, 6, Console()))
    running.process.stop()
    assert "451 records copied" in growth(settings)
    larger = msgspec.structs.replace(settings, kafka=grown(settings.kafka, 6))
    with worker(larger, settings.worker.data_dir) as last:
        wait_until(lambda: counted(larger) == 450, "everything", last)
        right = verify(larger)
    assert right.differences == []
    assert right.split_customers == {}
    assert ReadModel(settings).position() == 0


def growth(settings: Settings) -> str:
    return output_of(lambda console: grow(settings, 6, console))


def test_a_directory_made_anew_is_read_from_its_beginning(settings: Settings, applied: Callable[[], Worker]) -> None:
    reps = [(0, f"r{n}".encode(), encode(rep(f"r{n}", "north"))) for n in range(5)]
    send_raw(settings, [*reps, (0, b"ann", encode(rep("ann", "north")))], settings.kafka.reps_topic)
    started = [applied()]
    model, topic = ReadModel(settings), settings.kafka.reps_topic
    wait_until(lambda: len(model.reps()) == 6 and counted(settings) == 400, "the fold", started[0])
    wait_until(
        lambda: topic in read_journals(settings.kafka)[0].position.logs, "the directory's id is kept", started[0]
    )
    with admin_client(settings.kafka) as admin:
        remake(admin, settings, topic)
    send_raw(settings, [(0, b"ann", encode(rep("ann", "south")))], topic)

    def replaced() -> bool:
        # Without its topic for a moment, a worker may end, and whoever runs it starts it again.
        if started[-1].process.exit_code is not None:
            started.append(applied())
        return set(model.reps()) == {"ann"} and b"south" in model.reps()["ann"]

    wait_until(replaced, "the new directory")
    wait_until(lambda: started[-1].owns(settings.kafka.partitions), "it goes on", started[-1])
    assert counted(settings) == 400
