"""Senders with transactions: what they commit counts, what they abort never happened."""

import asyncio
import os
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from config.clock import Clock
from config.settings import Settings
from processors.commands.verify import verify
from processors.core.time.instants import DAY_US, moment
from processors.kafka.topics import ensure_topics
from schemas import events as ev
from schemas.codec import encode
from schemas.views import Segment
from tests.integration.stack import ReadModel, send, wait_until, worker

pytestmark = pytest.mark.skipif(
    os.environ.get("SALESPULSE_TEST_BROKER") != "kafka",
    reason="needs Apache Kafka: SALESPULSE_TEST_BROKER=kafka",
)


def paid(settings: Settings, number: int) -> ev.CustomerRevenue:
    at = moment(Clock(settings.clock).now_us() - DAY_US)
    return ev.CustomerRevenue(event_id=f"p{number}", occurred_at=at, customer_id="c1", amount=Decimal(10))


async def send_in_transactions(settings: Settings) -> None:
    """Two payments, then three that are taken back, then one, and two more that are taken back at the end."""
    topic = settings.kafka.events_topics[0]
    client = AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap, transactional_id=f"{topic}-outbox")
    await client.start()
    for number, (count, commits) in enumerate(((2, True), (3, False), (1, True), (2, False))):
        await client.begin_transaction()
        for n in range(count):
            await client.send_and_wait(topic, encode(paid(settings, 10 * number + n)), key=b"c1")
        await (client.commit_transaction() if commits else client.abort_transaction())
    await client.stop()


async def begin(settings: Settings, topic: str, key: bytes, value: bytes) -> AIOKafkaProducer:
    """A transaction with one record, that is open yet."""
    client = AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap, transactional_id=f"{topic}-{key!r}")
    await client.start()
    await client.begin_transaction()
    await client.send_and_wait(topic, value, key=key)
    return client


@pytest.mark.parametrize("ends", [True, False])
def test_a_worker_recovers_though_the_directory_ends_with_what_was_not_committed(
    settings: Settings, tmp_path: Path, ends: bool
) -> None:
    ensure_topics(settings)
    topic = settings.kafka.reps_topic

    async def run() -> None:
        client = await begin(settings, topic, b"ann", encode(ev.RepUpdated(rep_id="ann", name="Ann")))
        await client.commit_transaction()
        await client.begin_transaction()
        await client.send_and_wait(topic, encode(ev.RepUpdated(rep_id="bob", name="Bob")), key=b"bob")
        if ends:
            await client.abort_transaction()
        await asyncio.to_thread(recover)
        await client.stop()

    def recover() -> None:
        with worker(settings, tmp_path) as running:
            wait_until(lambda: running.owns(4), "it owns all partitions", running)
            wait_until(lambda: list(ReadModel(settings).reps()) == ["ann"], "the directory", running)

    asyncio.run(run())


def test_an_open_transaction_holds_up_no_time(settings: Settings, tmp_path: Path) -> None:
    """What lies behind it cannot be read yet: nobody is behind."""
    ensure_topics(settings)
    topic = settings.kafka.events_topics[0]
    send(settings, [paid(settings, 1)])

    async def run() -> None:
        client = await begin(settings, topic, b"c1", encode(paid(settings, 2)))
        await asyncio.to_thread(follow)
        await client.abort_transaction()
        await client.stop()

    def follow() -> None:
        with worker(settings, tmp_path) as running:
            wait_until(lambda: ReadModel(settings).position() == 1, "what was committed", running)
            wait_until(lambda: running.page().total("salespulse_consumer_lag_records") == 0, "no lag", running)

    asyncio.run(run())


def test_only_what_a_sender_committed_counts(settings: Settings, tmp_path: Path) -> None:
    ensure_topics(settings)
    model = ReadModel(settings)
    with worker(settings, tmp_path) as running:
        asyncio.run(send_in_transactions(settings))
        wait_until(lambda: model.position() == 12, "records and markers were passed", running)
        send(settings, [paid(settings, 99)])
        wait_until(lambda: model.position() == 13, "the last payment", running)
        wait_until(lambda: running.page().total("salespulse_consumer_lag_records") == 0, "no lag", running)
        assert verify(settings).differences == []
    (segment,) = [value for section in model.section("segments") for value in section.values()]
    assert msgspec.msgpack.decode(segment, type=Segment).revenue_cents == 4 * 1000
