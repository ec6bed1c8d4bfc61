"""A hostile producer against a running worker, and the account of what became of every offset."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from aiokafka.errors import KafkaConnectionError

from config.clock import Clock
from config.settings import Settings
from processors.dev.scrape import Page, get
from processors.kafka.topics import ensure_topics
from processors.tools.verify import verify
from tests.hostile.producer import HostileProducer
from tests.hostile.wire import RawProducer
from tests.integration.stack import Worker, wait_until, worker

MOST_METRICS_BYTES = 200_000
MOST_MEMORY = 900 * 1024 * 1024
SECONDS_PER_RECORD = 0.01
PATIENCE_SECONDS = 120.0


class Account(NamedTuple):
    """What was sent."""

    ends: dict[int, int]
    """Partition to the offset after the last record that the broker took."""
    accepted: int
    """How many records the broker took. The embedded one leaves a hole where it refused a batch."""
    refused: Counter[str]
    """How many batches the broker refused, by its error."""

    @property
    def offsets(self) -> int:
        """Of all partitions."""
        return sum(self.ends.values())


async def attack(settings: Settings, seed: int, records: int) -> Account:
    """Send about so many records; the last of each partition is good, and says where the partition ends."""
    producer = HostileProducer(seed, Clock(settings.clock).now_us())
    topic, partitions = settings.kafka.events_topics[0], settings.kafka.partitions
    refused: Counter[str] = Counter()
    sent = number = accepted = 0
    async with RawProducer(settings.kafka) as client:
        while sent < records:
            made = producer.batch()
            number += 1
            error = await _send(client, topic, number % partitions, made.raw)
            if error is None:
                accepted += made.records
            else:
                refused[error] += 1
            sent += made.records
        ends = {n: await client.place(topic, n, producer.good().raw) + 1 for n in range(partitions)}
    return Account(ends, accepted + partitions, refused)


async def _send(client: RawProducer, topic: str, partition: int, raw: bytes) -> str | None:
    """The embedded broker hangs up on what it cannot parse."""
    try:
        return await client.send(topic, partition, raw)
    except KafkaConnectionError:
        return "disconnected"


def accounted(page: Page, settings: Settings) -> float:
    """Offsets of the events topics of which a worker has said what became of them."""
    events = page.total("salespulse_events_total") - page.total("salespulse_events_total", type="rep.updated")
    topic = settings.kafka.events_topics[0]
    return events + page.total("salespulse_unreadable_records_total", topic=topic)


def withstand(settings: Settings, directory: Path, seed: int, records: int) -> Account:
    """Let a worker take what a hostile producer sends: no exit, every offset accounted for, bounds kept."""
    ensure_topics(settings)
    with worker(settings, directory) as running:
        account = asyncio.run(attack(settings, seed, records))
        seconds = PATIENCE_SECONDS + records * SECONDS_PER_RECORD
        wait_until(lambda: _position(running) == account.offsets, "all is read", running, seconds=seconds)
        _check(running, settings, account)
        # Its batches go round the partitions whatever the keys are, so customers are torn, and rightly so called.
        assert verify(settings).differences == []
        assert running.process.stop() == 0
    return account


def _position(running: Worker) -> float:
    return running.page().total("salespulse_position_records")


def _check(running: Worker, settings: Settings, account: Account) -> None:
    page = running.page()
    results = page.totals_by("salespulse_events_total", "result")
    unreadable = page.totals_by("salespulse_unreadable_records_total", "topic")
    assert accounted(page, settings) == account.accepted, (results, unreadable, account)
    assert page.total("salespulse_events_total", result="applied") > 0
    assert page.total("process_resident_memory_bytes") < MOST_MEMORY
    assert len(get(running.port, "/metrics") or "") < MOST_METRICS_BYTES
