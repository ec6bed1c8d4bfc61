"""A hostile producer against a running worker, and the account of what became of every offset."""

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from aiokafka.errors import KafkaConnectionError

from config.clock import Clock
from config.settings import Settings
from processors.commands.verify import verify
from processors.dev.metrics_page import MetricsPage, get
from processors.kafka.topics import ensure_topics
from tests.hostile.producer import REPS, HostileProducer
from tests.hostile.wire import RawProducer
from tests.integration.stack import Worker, board, wait_until, worker

MOST_WORKER_METRICS_BYTES = 200_000
MOST_BOARD_METRICS_BYTES = 500_000
"""Of ten known reps, whatever other names were made up."""
MOST_BYTES_AT_REST = 400 * 1024 * 1024
"""Of a worker without any state, with what one batch may become and its dead letters."""
MOST_BYTES_PER_FACT = 2560
"""What a request costs that is overdue, as most of these soon are: state is no consequence of what is wrong."""
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


class Figures(NamedTuple):
    """What an onslaught cost."""

    seconds: float
    """From the first batch that was sent until all were read."""
    records_per_second: float
    peak_mib: float
    """The most memory that the worker had."""
    worker_metrics_bytes: int
    board_metrics_bytes: int
    applied: int
    unreadable: int


async def attack(settings: Settings, seed: int, records: int) -> Account:
    """Send about so many records; the last of each partition is good, and says where the partition ends."""
    producer = HostileProducer(seed, Clock(settings.clock).now_us())
    topic, partitions = settings.kafka.events_topics[0], settings.kafka.partitions
    refused: Counter[str] = Counter()
    sent = number = accepted = 0
    async with RawProducer(settings.kafka) as client:
        await client.place(settings.kafka.reps_topic, 0, producer.directory().raw)
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


def withstand(settings: Settings, directory: Path, seed: int, records: int) -> tuple[Account, Figures]:
    """Let a worker take what a hostile producer sends: no exit, every offset accounted for, bounds kept."""
    ensure_topics(settings)
    with worker(settings, directory) as running:
        started = time.monotonic()
        account = asyncio.run(attack(settings, seed, records))
        seconds = PATIENCE_SECONDS + records * SECONDS_PER_RECORD
        wait_until(lambda: _position(running) == account.offsets, "all is read", running, seconds=seconds)
        took = time.monotonic() - started
        _check_all_counted(running.page(), settings, account)
        # Its batches go round the partitions whatever the keys are, so customers are torn, and rightly so called.
        assert verify(settings).differences == []
        figures = _figures(running, account, took, _board_metrics_bytes(settings, directory))
        _check_bounds(figures)
        assert running.process.stop() == 0
    return account, figures


def accounted(page: MetricsPage, settings: Settings) -> float:
    """Offsets of the events topics of which a worker has said what became of them."""
    events = page.total("salespulse_events_total") - page.total("salespulse_events_total", type="rep.updated")
    topic = settings.kafka.events_topics[0]
    return events + page.total("salespulse_unreadable_records_total", topic=topic)


def _position(running: Worker) -> float:
    return running.page().total("salespulse_position_records")


def _check_all_counted(page: MetricsPage, settings: Settings, account: Account) -> None:
    results = page.totals_by("salespulse_events_total", "result")
    unreadable = page.totals_by("salespulse_unreadable_records_total", "topic")
    assert accounted(page, settings) == account.accepted, (results, unreadable, account)
    assert results["applied"] > 0


def _board_metrics_bytes(settings: Settings, directory: Path) -> int:
    """The size of a board's `/metrics`, once it has loaded everything."""
    with board(settings, directory) as port:
        wait_until(lambda: _knows_reps(get(port, "/metrics")), "the board shows the reps")
        return len(get(port, "/metrics") or "")


def _knows_reps(text: str | None) -> bool:
    return text is not None and all(f'rep="{rep_id}"' in text for rep_id in REPS)


def _figures(running: Worker, account: Account, seconds: float, board_metrics_bytes: int) -> Figures:
    text = get(running.port, "/metrics") or ""
    page = MetricsPage(text)
    return Figures(
        seconds=round(seconds, 1),
        records_per_second=round(account.accepted / seconds, 1),
        peak_mib=round(_peak_bytes(running.process.pid) / 1024 / 1024, 1),
        worker_metrics_bytes=len(text),
        board_metrics_bytes=board_metrics_bytes,
        applied=int(page.total("salespulse_events_total", result="applied")),
        unreadable=int(page.total("salespulse_unreadable_records_total")),
    )


def _peak_bytes(pid: int) -> int:
    """The most memory that a process had at a time: the kernel keeps it."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (kibibytes,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(kibibytes) * 1024


def _check_bounds(figures: Figures) -> None:
    most_mib = (MOST_BYTES_AT_REST + MOST_BYTES_PER_FACT * figures.applied) / 1024 / 1024
    assert figures.peak_mib < most_mib, figures
    assert 0 < figures.worker_metrics_bytes < MOST_WORKER_METRICS_BYTES, figures
    assert 0 < figures.board_metrics_bytes < MOST_BOARD_METRICS_BYTES, figures
